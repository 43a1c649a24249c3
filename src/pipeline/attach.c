/* attach.c - fetch what a request names by URL. */
#include "pipeline/attach.h"

#include <assert.h>

#include <openssl/evp.h>

#include "model/media.h"
#include "pipeline/ask.h"
#include "providers/provider.h"

enum {
	CONNECT_MS = 5000,
	CONNECTIONS_MAX = 8, /* to one origin */
	PORT_FREE = 1024,    /* below it only the two of HTTP */
};

enum stage { WAITS, RUNS, CAME };

struct attachment {
	struct sl_attachments *all;
	struct sl_part        *part; /* the first that names it */
	enum stage             stage;
	struct sl_origin       origin;
	struct sl_slice        target;
	struct sl_fetch        fetch;
	struct sl_slice        content_type;
	struct sl_buf          body;
	struct sl_slice        type, data; /* of what came: base64 */
};

/* On the front's arena. */
struct sl_attachments {
	struct sl_ask     *ask;
	void             (*on_ready)(struct sl_ask *ask);
	struct attachment *items[SL_ATTACH_MAX];
	size_t             count, running;
	uint64_t           bytes;
	struct sl_fault    fault; /* kind NONE: none failed */
};

/* --- pure ----------------------------------------------------------------------------- */

const char *
sl_attach_url(struct sl_slice text, struct sl_url *url, struct sl_slice *target)
{
	struct sl_slice rest = sl_slice_trim(text);
	struct sl_slice whole = sl_slice_cut(&rest, '#');
	ptrdiff_t at;

	if (sl_url_parse(whole, url) != SL_OK)
		return "it is not a URL as https://host/path, with escapes for what is not ASCII";
	if (url->port != 80 && url->port != 443 && url->port < PORT_FREE)
		return "only ports 80, 443 and those above 1023 are asked";
	rest = sl_slice_from(whole, (size_t)sl_slice_search(whole, SL_SLICE("://")) + 3);
	at = sl_slice_find(rest, '/');
	if (at < 0)
		at = sl_slice_find(rest, '?');
	*target = at < 0 ? SL_SLICE("/") : sl_slice_from(rest, (size_t)at);
	return target->ptr[0] == '/' ? NULL : "its path must begin with /";
}

/* Types that their bytes prove; said of other bytes they are wrong. */
static bool
is_provable(struct sl_slice type)
{
	static const char *const types[] = {
		"image/png", "image/jpeg", "image/jpg", "image/gif", "image/webp",
		"application/pdf", NULL,
	};

	for (size_t i = 0; types[i]; i++)
		if (sl_slice_ieq(type, sl_slice_str(types[i])))
			return true;
	return false;
}

/* Documents that nothing proves, by what they are said to be. */
static bool
is_document(struct sl_slice type)
{
	static const char *const types[] = {
		"text/", "application/json", "application/msword", "application/rtf",
		"application/vnd.ms-", "application/vnd.openxmlformats-officedocument.", NULL,
	};

	for (size_t i = 0; types[i]; i++)
		if (sl_slice_istarts(type, sl_slice_str(types[i])))
			return true;
	return false;
}

struct sl_slice
sl_attach_type(const struct sl_part *part, struct sl_slice content_type, struct sl_slice head)
{
	struct sl_slice said = part->media.type, type = sl_media_sniff(head);
	const char *starts = part->kind == SL_PART_IMAGE   ? "image/"
	                     : part->kind == SL_PART_AUDIO ? "audio/"
	                                                   : "video/";

	if (said.len == 0)
		said = sl_slice_trim(sl_slice_cut(&content_type, ';'));
	if (type.len == 0 && !is_provable(said))
		type = said;
	if (sl_slice_is(type, "application/pdf"))
		return type;
	if (part->kind == SL_PART_DOCUMENT)
		return is_document(type) || sl_slice_istarts(type, SL_SLICE("image/"))
		           ? type : SL_SLICE_NONE;
	return sl_slice_istarts(type, sl_slice_str(starts)) ? type : SL_SLICE_NONE;
}

/* --- parts that name URLs ---------------------------------------------------------------- */

struct walk {
	const struct sl_codec_ops *codec;
	bool                       inline_only; /* whatever the codec could */
	void (*each)(struct walk *walk, struct sl_part *part);
	struct sl_attachments     *all;
	bool                       too_many;
};

static bool
is_wanted(const struct walk *walk, const struct sl_part *part)
{
	bool media = part->kind == SL_PART_IMAGE || part->kind == SL_PART_AUDIO ||
	             part->kind == SL_PART_VIDEO || part->kind == SL_PART_DOCUMENT;

	if (!media || part->media.source != SL_MEDIA_URL)
		return false;
	if (walk->inline_only)
		return true;
	return (walk->codec->no_urls >> part->kind & 1u) &&
	       !(walk->codec->knows_url && walk->codec->knows_url(part->media.data));
}

static void
walk_parts(struct walk *walk, struct sl_part *parts)
{
	/* Results and documents hold parts, a document in a result the last. */
	for (struct sl_part *part = parts; part; part = part->next) {
		if (is_wanted(walk, part))
			walk->each(walk, part);
		else if (part->parts)
			walk_parts(walk, part->parts);
	}
}

static struct attachment *
find(const struct sl_attachments *all, struct sl_slice url)
{
	for (size_t i = 0; i < all->count; i++)
		if (sl_slice_eq(all->items[i]->part->media.data, url))
			return all->items[i];
	return NULL;
}

static void
count_part(struct walk *walk, struct sl_part *part)
{
	struct sl_attachments *all = walk->all;
	struct attachment *item;

	if (find(all, part->media.data))
		return;
	if (all->count == SL_ATTACH_MAX) {
		walk->too_many = true;
		return;
	}
	item = SL_ARENA_NEW(&all->ask->front->arena, struct attachment);
	if (!item) {
		walk->too_many = true;
		return;
	}
	item->all = all;
	item->part = part;
	all->items[all->count++] = item;
}

/* --- the end -------------------------------------------------------------------------- */

static void
drop_item(struct attachment *item)
{
	if (item->stage == RUNS) {
		item->stage = WAITS;
		item->all->running--;
		item->all->ask->gateway->attaching--;
		sl_fetch_cancel(&item->fetch);
	}
	sl_buf_release(&item->body);
}

void
sl_attach_cancel(struct sl_ask *ask)
{
	struct sl_attachments *all = ask->front ? ask->front->attachments : NULL;

	if (!all)
		return;
	ask->front->attachments = NULL;
	for (size_t i = 0; i < all->count; i++)
		drop_item(all->items[i]);
}

static void
set_fault(struct sl_attachments *all, const struct sl_part *part, struct sl_slice reason)
{
	struct sl_arena *arena = &all->ask->front->arena;

	all->fault = (struct sl_fault){ 0 };
	sl_fault_set(&all->fault, SL_FAULT_UNSUPPORTED,
	             sl_arena_printf(arena, "'%.*s' could not be fetched for the provider '%.*s', "
	                             "which takes data only: %.*s. Send the data itself, in base64.",
	                             SL_ARG(sl_where_param(&part->where, arena)),
	                             SL_ARG(all->ask->world->config
	                                        ->providers[all->ask->front->plan
	                                                        .targets[all->ask->front->next_target]
	                                                        .provider].name),
	                             SL_ARG(reason)));
	all->fault.code = SL_SLICE("media_not_fetched");
	all->fault.param = sl_where_param(&part->where, arena);
}

/* What failed for one target would fail for the next: it is remembered. */
static void
end(struct sl_attachments *all)
{
	struct sl_ask *ask = all->ask;

	sl_attach_cancel(ask);
	ask->front->attach_fault = all->fault;
	all->on_ready(ask);
}

static void
fail_item(struct attachment *item, struct sl_slice reason)
{
	set_fault(item->all, item->part, reason);
	end(item->all);
}

/* --- one fetch ------------------------------------------------------------------------- */

static struct attachment *
item_of(struct sl_fetch *fetch)
{
	return SL_CONTAINER(fetch, struct attachment, fetch);
}

static struct sl_slice
too_large(struct attachment *item)
{
	return sl_arena_printf(&item->all->ask->front->arena,
	                       "it is larger than %llu bytes (media.bytes)",
	                       (unsigned long long)item->body.max_size);
}

static void
on_head(struct sl_fetch *fetch, int status, const struct sl_headers *headers,
        int64_t content_length)
{
	struct attachment *item = item_of(fetch);
	struct sl_arena *arena = &item->all->ask->front->arena;
	struct sl_slice coding = sl_headers_get(headers, "content-encoding");

	if (status >= 300 && status < 400) {
		fail_item(item, SL_SLICE("its server points to another address, and redirects are "
		                         "not followed"));
		return;
	}
	if (status != 200) {
		fail_item(item, sl_arena_printf(arena, "its server answers with status %d", status));
		return;
	}
	if (content_length > (int64_t)item->body.max_size) {
		fail_item(item, too_large(item));
		return;
	}
	if (coding.len && !sl_slice_ieq(coding, SL_SLICE("identity"))) {
		fail_item(item, SL_SLICE("its server compresses it although it was asked not to"));
		return;
	}
	item->content_type = sl_arena_dup(arena, sl_headers_get(headers, "content-type"));
}

static void
on_data(struct sl_fetch *fetch, struct sl_slice bytes)
{
	struct attachment *item = item_of(fetch);
	struct sl_attachments *all = item->all;

	all->bytes += bytes.len;
	if (sl_buf_append(&item->body, bytes) == SL_ELIMIT)
		fail_item(item, too_large(item));
	else if (all->bytes > all->ask->world->config->limits.body_bytes)
		fail_item(item, SL_SLICE("together the files are larger than limits.body_bytes"));
	else if (item->body.failed)
		fail_item(item, SL_SLICE("the gateway is out of memory"));
}

/* The part as if the caller had sent the data. */
static void
put_part(struct walk *walk, struct sl_part *part)
{
	const struct attachment *item = find(walk->all, part->media.data);
	struct sl_translation *translation = walk->all->ask->front->translation;

	if (!item || item->part == part)
		return; /* the first of each goes last: the others are found by its URL */
	(void)sl_media_from_base64(item->type, item->data, &walk->all->ask->front->arena,
	                           &translation->notes, part);
	sl_note(&translation->notes, SL_NOTE_media_fetched, &part->where);
}

static void
put_all(struct sl_attachments *all)
{
	struct sl_translation *translation = all->ask->front->translation;
	struct walk walk = { .inline_only = true, .each = put_part, .all = all };

	for (struct sl_turn *turn = translation->dialog.turns; turn; turn = turn->next)
		walk_parts(&walk, turn->parts);
	for (size_t i = 0; i < all->count; i++) {
		struct attachment *item = all->items[i];

		(void)sl_media_from_base64(item->type, item->data, &all->ask->front->arena,
		                           &translation->notes, item->part);
		sl_note(&translation->notes, SL_NOTE_media_fetched, &item->part->where);
	}
}

static bool start_some(struct sl_attachments *all);

static bool
take_body(struct attachment *item)
{
	struct sl_arena *arena = &item->all->ask->front->arena;
	size_t size = (item->body.len + 2) / 3 * 4;
	char *text = sl_arena_alloc(arena, size + 1);

	if (!text)
		return false;
	size = (size_t)EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)item->body.ptr,
	                               (int)item->body.len);
	item->data = sl_slice_make(text, size);
	sl_buf_release(&item->body);
	return true;
}

static void
on_end(struct sl_fetch *fetch, const struct sl_headers *trailers)
{
	struct attachment *item = item_of(fetch);
	struct sl_attachments *all = item->all;

	(void)trailers;
	item->stage = CAME;
	all->running--;
	all->ask->gateway->attaching--;
	if (item->body.len == 0) {
		fail_item(item, SL_SLICE("it is empty"));
		return;
	}
	if (!take_body(item)) {
		fail_item(item, SL_SLICE("the gateway is out of memory"));
		return;
	}
	item->type = sl_attach_type(item->part, item->content_type, item->data);
	if (item->type.len == 0) {
		fail_item(item, SL_SLICE("neither its bytes nor its Content-Type are of a kind that "
		                         "can stand here"));
		return;
	}
	if (!start_some(all)) {
		end(all);
	} else if (all->running == 0) {
		put_all(all);
		end(all);
	}
}

static void
on_fail(struct sl_fetch *fetch, const struct sl_fetch_error *error)
{
	struct attachment *item = item_of(fetch);
	struct sl_slice reason = SL_SLICE("the connection to its server failed");

	item->stage = CAME; /* nothing to cancel */
	item->all->running--;
	item->all->ask->gateway->attaching--;
	if (error->err == SL_EPOLICY)
		reason = SL_SLICE("its address is not public, and media.allow_cidr does not name it");
	else if (error->err == SL_ERESOLVE)
		reason = SL_SLICE("its host name has no address");
	else if (error->err == SL_ETLS)
		reason = SL_SLICE("its server could not prove its name (TLS)");
	else if (error->err == SL_ETIMEDOUT)
		reason = sl_arena_printf(&item->all->ask->front->arena,
		                         "it did not come within %llu ms (media.timeout_ms)",
		                         (unsigned long long)item->origin.timeouts.total_ms);
	fail_item(item, reason);
}

static const struct sl_fetch_ops fetch_ops = { on_head, on_data, on_end, on_fail };

static bool
set_origin(struct attachment *item, const struct sl_url *url)
{
	struct sl_ask *ask = item->all->ask;
	const struct sl_world *world = ask->world;
	uint32_t total_ms = (uint32_t)world->config->media.timeout_ms;

	item->origin = (struct sl_origin){
		.host = url->host,
		.port = url->port,
		.tls = url->tls ? world->media.tls : NULL,
		.timeouts = { .connect_ms = total_ms < CONNECT_MS ? total_ms : CONNECT_MS,
		              .first_byte_ms = total_ms, .idle_ms = total_ms, .total_ms = total_ms },
		.http2 = SL_HTTP2_OFF,
		.host_is_foreign = true,
		.once = true,
		.allow = world->media.allow,
		.allow_count = world->media.allow_count,
		.max_connections = CONNECTIONS_MAX,
	};
	item->origin.identity = sl_arena_printf(&ask->front->arena, "%.*s|%d|%.*s|%u",
	                                        SL_ARG(world->media.identity), url->tls,
	                                        SL_ARG(url->host), (unsigned)url->port);
	return item->origin.identity.ptr != NULL;
}

static bool
start_item(struct attachment *item)
{
	static const struct sl_header headers[] = {
		{ SL_SLICE_INIT("accept"), SL_SLICE_INIT("*/*") },
		{ SL_SLICE_INIT("accept-encoding"), SL_SLICE_INIT("identity") },
		{ SL_SLICE_INIT("user-agent"), SL_SLICE_INIT("sluice") },
	};
	struct sl_fetch_request request = { .method = SL_SLICE("GET"), .headers = headers,
		                            .header_count = sizeof(headers) / sizeof(headers[0]) };
	struct sl_ask *ask = item->all->ask;
	struct sl_url url;
	const char *why = sl_attach_url(item->part->media.data, &url, &item->target);

	if (why || !set_origin(item, &url)) {
		set_fault(item->all, item->part,
		          sl_slice_str(why ? why : "the gateway is out of memory"));
		return false;
	}
	request.target = item->target;
	sl_buf_init(&item->body, ask->world->config->media.bytes);
	item->fetch = (struct sl_fetch){ .ops = &fetch_ops };
	if (sl_fetch_start(ask->gateway->client, &item->origin, &item->fetch, &request) != SL_OK) {
		set_fault(item->all, item->part, SL_SLICE("it cannot be asked for"));
		return false;
	}
	item->stage = RUNS;
	item->all->running++;
	ask->gateway->attaching++;
	return true;
}

/* As many as may run at once. False: the fault is set. */
static bool
start_some(struct sl_attachments *all)
{
	for (size_t i = 0; i < all->count && all->running < SL_ATTACH_AT_ONCE; i++)
		if (all->items[i]->stage == WAITS && !start_item(all->items[i]))
			return false;
	return true;
}

/* --- the beginning ----------------------------------------------------------------------- */

static enum sl_err
refuse(struct sl_attachments *all, struct sl_fault *fault)
{
	*fault = all->fault;
	sl_attach_cancel(all->ask);
	return SL_EUNSUPPORTED;
}

enum sl_err
sl_attach_start(struct sl_ask *ask, const struct sl_plan_target *target,
                void (*on_ready)(struct sl_ask *ask), struct sl_fault *fault)
{
	struct sl_ask_front *front = ask->front;
	struct walk walk = { .each = count_part };
	struct sl_attachments *all;
	struct sl_dialog *dialog;

	if (!ask->world->media.tls)
		return SL_OK;
	dialog = sl_lane_dialog(ask, target, &walk.codec, &walk.inline_only);
	if (!dialog)
		return SL_OK;
	all = SL_ARENA_NEW(&front->arena, struct sl_attachments);
	if (!all)
		return SL_OK; /* the encoder refuses the URL */
	assert(!front->attachments);
	*all = (struct sl_attachments){ .ask = ask, .on_ready = on_ready };
	walk.all = all;
	for (struct sl_turn *turn = dialog->turns; turn; turn = turn->next)
		walk_parts(&walk, turn->parts);
	if (all->count == 0)
		return SL_OK;
	front->attachments = all;
	if (front->attach_fault.kind != SL_FAULT_NONE)
		all->fault = front->attach_fault;
	else if (walk.too_many)
		set_fault(all, all->items[0]->part,
		          sl_arena_printf(&front->arena, "a request may name %d URLs",
		                          SL_ATTACH_MAX));
	else if (ask->gateway->attaching + SL_ATTACH_AT_ONCE > SL_ATTACH_LOOP_MAX) {
		sl_fault_set(&all->fault, SL_FAULT_OVERLOADED,
		             SL_SLICE("The gateway fetches too many files for others now. Try again "
		                      "shortly."));
		all->fault.retry_after_s = 1;
	} else if (start_some(all)) {
		return SL_AGAIN;
	}
	return refuse(all, fault);
}
