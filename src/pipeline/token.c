/* token.c - the loop's tokens and the fetches that get them.
 *
 * A token outlives the configuration it was got under: it is filed by what it
 * was asked with, so that a reload does not ask again. A token is renewed when a
 * tenth of its life is left (at most five minutes), and a fetch that fails then
 * costs nothing but a log line.
 */
#include "pipeline/token.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum {
	REPLY_MAX = 64 * 1024,
	RENEW_MAX_MS = 300 * 1000,
	QUIET_MS = 1000,
	LIFETIME_MAX_S = 24 * 3600,
};

struct sl_token {
	struct sl_token              *next;
	struct sl_token_store        *store;
	struct sl_slice               identity; /* in this allocation */
	struct sl_secret              header;
	uint64_t                      good_until_ms, renew_ms;
	uint64_t                      quiet_until_ms;
	/* The running fetch. */
	bool                          fetching;
	struct sl_world              *world;
	const struct sl_token_grant  *grant;
	struct sl_fetch               fetch;
	struct sl_secret              form;
	struct sl_slice               form_body;
	struct sl_buf                 reply;
	int                           status;
	struct sl_list                waiters;
};

struct sl_token_store {
	struct sl_loop   *loop;
	struct sl_client *client;
	struct sl_token  *tokens;
};

struct sl_token_store *
sl_token_store_new(struct sl_loop *loop, struct sl_client *client)
{
	struct sl_token_store *store = calloc(1, sizeof(*store));

	if (store) {
		store->loop = loop;
		store->client = client;
	}
	return store;
}

static void
end_fetch(struct sl_token *token)
{
	token->fetching = false;
	sl_secret_release(&token->form);
	sl_buf_release(&token->reply);
	sl_world_unref(token->world);
	token->world = NULL;
	token->grant = NULL;
}

void
sl_token_store_free(struct sl_token_store *store)
{
	if (!store)
		return;
	while (store->tokens) {
		struct sl_token *token = store->tokens;

		store->tokens = token->next;
		if (token->fetching) {
			sl_fetch_cancel(&token->fetch);
			end_fetch(token);
		}
		sl_secret_release(&token->header);
		free(token);
	}
	free(store);
}

static struct sl_token *
find(const struct sl_token_store *store, struct sl_slice identity)
{
	struct sl_token *token = store->tokens;

	while (token && !sl_slice_eq(token->identity, identity))
		token = token->next;
	return token;
}

static struct sl_token *
find_or_add(struct sl_token_store *store, struct sl_slice identity)
{
	struct sl_token *token = find(store, identity);

	if (token)
		return token;
	token = calloc(1, sizeof(*token) + identity.len);
	if (!token)
		return NULL;
	memcpy(token + 1, identity.ptr, identity.len);
	token->identity = sl_slice_make((const char *)(token + 1), identity.len);
	token->store = store;
	sl_list_init(&token->waiters);
	token->next = store->tokens;
	store->tokens = token;
	return token;
}

/* --- the fetch ---------------------------------------------------------------- */

/* Those who begin to wait meanwhile wait for the next fetch. */
static void
wake(struct sl_token *token)
{
	struct sl_list due;

	sl_list_init(&due);
	while (!sl_list_empty(&token->waiters)) {
		struct sl_list *node = token->waiters.next;

		sl_list_remove(node);
		sl_list_push_back(&due, node);
	}
	while (!sl_list_empty(&due)) {
		struct sl_token_waiter *waiter =
		    SL_CONTAINER(due.next, struct sl_token_waiter, node);

		sl_token_waiter_cancel(waiter);
		waiter->on_ready(waiter);
	}
}

static void
fail(struct sl_token *token, struct sl_slice why)
{
	sl_log(SL_LOG_ERROR, "no access token for a provider",
	       SL_LOG_S("provider", token->grant->provider), SL_LOG_S("reason", why),
	       SL_LOG_I("status", token->status));
	token->quiet_until_ms = sl_loop_now_ms(token->store->loop) + QUIET_MS;
	end_fetch(token);
	wake(token);
}

static void
accept(struct sl_token *token)
{
	uint64_t now_ms = sl_loop_now_ms(token->store->loop), life_ms, margin_ms;
	struct sl_secret header = { 0 };
	int64_t lifetime_s;

	if (token->status != 200) {
		fail(token, SL_SLICE("the token endpoint refused; check the credential and its "
		                     "rights"));
		return;
	}
	if (sl_oauth_reply_read(sl_buf_slice(&token->reply), &header, &lifetime_s) != SL_OK) {
		fail(token, SL_SLICE("the token endpoint's answer holds no bearer token"));
		return;
	}
	life_ms = 1000 * (uint64_t)(lifetime_s < LIFETIME_MAX_S ? lifetime_s : LIFETIME_MAX_S);
	margin_ms = life_ms / 10 < RENEW_MAX_MS ? life_ms / 10 : RENEW_MAX_MS;
	sl_secret_release(&token->header);
	token->header = header;
	token->good_until_ms = now_ms + life_ms;
	token->renew_ms = token->good_until_ms - margin_ms;
	token->quiet_until_ms = 0;
	end_fetch(token);
	wake(token);
}

static void
on_head(struct sl_fetch *fetch, int status, const struct sl_headers *headers,
        int64_t content_length)
{
	(void)headers;
	(void)content_length;
	SL_CONTAINER(fetch, struct sl_token, fetch)->status = status;
}

static void
on_data(struct sl_fetch *fetch, struct sl_slice bytes)
{
	struct sl_token *token = SL_CONTAINER(fetch, struct sl_token, fetch);

	if (sl_buf_append(&token->reply, bytes) == SL_OK)
		return;
	sl_fetch_cancel(fetch);
	fail(token, SL_SLICE("the token endpoint's answer is larger than 64 KiB"));
}

static void
on_end(struct sl_fetch *fetch, const struct sl_headers *trailers)
{
	(void)trailers;
	accept(SL_CONTAINER(fetch, struct sl_token, fetch));
}

static void
on_fail(struct sl_fetch *fetch, const struct sl_fetch_error *error)
{
	fail(SL_CONTAINER(fetch, struct sl_token, fetch), sl_slice_str(error->detail));
}

static enum sl_err
begin_fetch(struct sl_token *token, struct sl_world *world, const struct sl_token_grant *grant)
{
	static const struct sl_fetch_ops ops = { on_head, on_data, on_end, on_fail };
	static const struct sl_header fields[] = {
		{ SL_SLICE_INIT("content-type"),
		  SL_SLICE_INIT("application/x-www-form-urlencoded") },
		{ SL_SLICE_INIT("accept"), SL_SLICE_INIT("application/json") },
	};
	struct sl_token_store *store = token->store;
	struct sl_fetch_request request = {
		.method = SL_SLICE("POST"),
		.target = grant->target,
		.headers = fields,
		.header_count = sizeof(fields) / sizeof(fields[0]),
		.body = &token->form_body,
		.body_count = 1,
	};
	enum sl_err err = sl_token_grant_form(grant, sl_loop_wall_ms(store->loop) / 1000,
	                                      &token->form);

	if (err != SL_OK)
		return err;
	token->form_body = sl_secret_reveal(&token->form);
	sl_buf_init(&token->reply, REPLY_MAX);
	token->status = 0;
	token->fetch = (struct sl_fetch){ .ops = &ops };
	token->grant = grant;
	token->world = sl_world_ref(world);
	err = sl_fetch_start(store->client, &grant->origin, &token->fetch, &request);
	token->fetching = true;
	if (err != SL_OK)
		end_fetch(token);
	return err;
}

/* --- asking ------------------------------------------------------------------- */

void
sl_token_waiter_cancel(struct sl_token_waiter *waiter)
{
	if (waiter->waiting)
		sl_list_remove(&waiter->node);
	waiter->waiting = false;
}

enum sl_err
sl_token_get(struct sl_token_store *store, struct sl_world *world,
             const struct sl_token_grant *grant, struct sl_token_waiter *waiter,
             struct sl_slice *header)
{
	struct sl_token *token = find_or_add(store, grant->identity);
	uint64_t now_ms = sl_loop_now_ms(store->loop);
	bool good, wanted;
	enum sl_err err = SL_OK;

	if (!token)
		return SL_ENOMEM;
	good = !sl_secret_empty(&token->header) && now_ms < token->good_until_ms;
	wanted = !good || now_ms >= token->renew_ms;
	if (wanted && !token->fetching && now_ms >= token->quiet_until_ms)
		err = begin_fetch(token, world, grant);
	if (good) {
		*header = sl_secret_reveal(&token->header);
		return SL_OK;
	}
	if (err != SL_OK)
		return err;
	if (!token->fetching)
		return SL_ECONNECT;
	sl_list_push_back(&token->waiters, &waiter->node);
	waiter->waiting = true;
	return SL_AGAIN;
}

void
sl_token_refused(struct sl_token_store *store, const struct sl_token_grant *grant)
{
	struct sl_token *token = find(store, grant->identity);

	if (token)
		token->good_until_ms = 0;
}
