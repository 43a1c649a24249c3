/* admin_client.c - one call to a running gateway's admin API, for commands. */
#include "app/admin_client.h"

#include <stdio.h>

#include "net/client.h"
#include "net/dial.h"
#include "providers/provider.h"

enum { CONNECT_MS = 3000, ANSWER_MS = 30000 };

struct exchange {
	struct sl_fetch       fetch;
	struct sl_loop       *loop;
	struct sl_admin_call *call;
	bool                  complete;
};

static void
on_head(struct sl_fetch *fetch, int status, const struct sl_headers *headers, int64_t length)
{
	struct exchange *exchange = SL_CONTAINER(fetch, struct exchange, fetch);

	(void)headers;
	(void)length;
	exchange->call->status = status;
}

static void
on_data(struct sl_fetch *fetch, struct sl_slice bytes)
{
	struct exchange *exchange = SL_CONTAINER(fetch, struct exchange, fetch);

	sl_buf_append(&exchange->call->answer, bytes);
}

static void
on_end(struct sl_fetch *fetch, const struct sl_headers *trailers)
{
	struct exchange *exchange = SL_CONTAINER(fetch, struct exchange, fetch);

	(void)trailers;
	exchange->complete = !exchange->call->answer.failed;
	if (!exchange->complete)
		snprintf(exchange->call->problem, sizeof(exchange->call->problem),
		         "the answer is larger than expected: is it a Sluice gateway?");
	sl_loop_stop(exchange->loop);
}

static void
on_fail(struct sl_fetch *fetch, const struct sl_fetch_error *error)
{
	struct exchange *exchange = SL_CONTAINER(fetch, struct exchange, fetch);

	snprintf(exchange->call->problem, sizeof(exchange->call->problem),
	         "%s does not answer: %s%s%s. Is the gateway running there? Name another with "
	         "--url",
	         exchange->call->url, sl_err_text(error->err), error->detail[0] ? ", " : "",
	         error->detail);
	sl_loop_stop(exchange->loop);
}

static enum sl_err
start(struct exchange *exchange, struct sl_client *client, const struct sl_origin *origin,
      struct sl_buf *bearer)
{
	struct sl_header headers[2] = { { SL_SLICE("authorization"), sl_buf_slice(bearer) },
		                        { SL_SLICE("content-type"), SL_SLICE("application/json") } };
	const struct sl_fetch_request request = {
		.method = sl_slice_str(exchange->call->method),
		.target = exchange->call->path,
		.headers = headers,
		.header_count = exchange->call->body.len ? 2 : 1,
		.body = &exchange->call->body,
		.body_count = exchange->call->body.len ? 1 : 0,
	};

	return sl_fetch_start(client, origin, &exchange->fetch, &request);
}

/* The operator names the address, so any is allowed. */
static bool
set_origin(struct sl_admin_call *call, struct sl_origin *origin, struct sl_cidr any[2])
{
	const char *reason = "out of memory";
	struct sl_url url;

	if (sl_url_parse(sl_slice_str(call->url), &url) != SL_OK || url.path.len || url.query.len) {
		snprintf(call->problem, sizeof(call->problem),
		         "%s is not the URL of a gateway; write http://HOST:PORT", call->url);
		return false;
	}
	if (sl_cidr_parse(SL_SLICE("0.0.0.0/0"), &any[0]) != SL_OK ||
	    sl_cidr_parse(SL_SLICE("::/0"), &any[1]) != SL_OK)
		return false;
	*origin = (struct sl_origin){
		.host = url.host,
		.port = url.port,
		.timeouts = { .connect_ms = CONNECT_MS, .first_byte_ms = ANSWER_MS,
		              .idle_ms = ANSWER_MS, .total_ms = ANSWER_MS },
		.http2 = SL_HTTP2_OFF,
		.host_is_literal = url.host_is_literal,
		.allow = any,
		.allow_count = 2,
		.identity = SL_SLICE("gateway"),
	};
	if (!url.tls)
		return true;
	origin->tls = sl_tls_client_new(NULL, false, &reason);
	if (!origin->tls)
		snprintf(call->problem, sizeof(call->problem), "TLS: %s", reason);
	return origin->tls != NULL;
}

bool
sl_admin_call(struct sl_admin_call *call)
{
	struct exchange exchange = { .call = call };
	static const struct sl_fetch_ops ops = { on_head, on_data, on_end, on_fail };
	struct sl_client *client = NULL;
	struct sl_cidr any[2] = { 0 };
	struct sl_origin origin = { 0 };
	struct sl_buf bearer;

	sl_buf_init(&bearer, 8 * 1024);
	if (!set_origin(call, &origin, any))
		goto out;
	snprintf(call->problem, sizeof(call->problem), "out of memory or file descriptors");
	sl_buf_printf(&bearer, "Bearer %s", call->master_key);
	exchange.fetch.ops = &ops;
	exchange.loop = sl_loop_new(0);
	client = exchange.loop ? sl_client_new(exchange.loop) : NULL;
	if (client && start(&exchange, client, &origin, &bearer) == SL_OK)
		sl_loop_run(exchange.loop);
out:
	if (client)
		sl_client_free(client);
	if (exchange.loop)
		sl_loop_free(exchange.loop);
	if (origin.tls)
		sl_tls_unref(origin.tls);
	if (bearer.ptr)
		explicit_bzero(bearer.ptr, bearer.len);
	sl_buf_release(&bearer);
	return exchange.complete;
}
