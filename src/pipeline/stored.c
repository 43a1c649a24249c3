/* stored.c - kept answers: going on from them, and showing them. */
#include "pipeline/stored.h"

#include "base/json.h"
#include "ledger/responses.h"
#include "pipeline/ask.h"

/* Ids of ours: resp_req_ULID. */
#define ID_PREFIX "resp_"
#define ID_OURS ID_PREFIX "req_"
enum { ITEMS_DEFAULT = 20, ITEMS_MAX = 100 };
static const int64_t DAY_MS = 24 * 3600 * 1000;

static struct sl_slice
owner_of(const struct sl_ask *ask)
{
	return ask->key ? sl_key_id(ask->key) : SL_SLICE_NONE;
}

static bool
is_on(const struct sl_ask *ask)
{
	return ask->gateway->services.store && ask->world->config->responses.keep_days > 0;
}

static struct sl_response_find *
find(struct sl_ask *ask, enum sl_response_wish wish, struct sl_slice id,
     void (*done)(struct sl_response_find *find))
{
	const struct sl_config *config = ask->world->config;
	const struct sl_response_query query = {
		.wish = wish,
		.id = id,
		.owner = owner_of(ask),
		.since_wall_ms = sl_loop_wall_ms(ask->gateway->loop) -
		                 (int64_t)config->responses.keep_days * DAY_MS,
		.most_bytes = wish == SL_RESPONSE_CHAIN ? config->limits.body_bytes
		                                        : (size_t)SL_RESPONSE_BYTES_MAX,
	};

	return sl_responses_find(ask->gateway->services.store, ask->gateway->loop, &query, done,
	                         ask);
}

static void
refuse_busy(struct sl_ask *ask)
{
	struct sl_fault fault;

	sl_fault_set(&fault, SL_FAULT_UNAVAILABLE,
	             SL_SLICE("Kept answers cannot be read now. Try again shortly."));
	fault.retry_after_s = 1;
	sl_ask_refuse(ask, &fault);
}

/* Detaches what the store has found from the ask. NULL: the caller is gone. */
static struct sl_ask *
take(struct sl_response_find *found)
{
	struct sl_ask *ask = found->user;

	if (ask)
		ask->stored = NULL;
	else
		sl_response_find_free(found);
	return ask;
}

void
sl_stored_gone(struct sl_ask *ask)
{
	if (ask->stored)
		ask->stored->user = NULL;
	ask->stored = NULL;
}

/* --- going on ------------------------------------------------------------------------- */

static struct sl_json
member(struct sl_slice body, const char *name)
{
	return sl_json_get(sl_json_parse(body), name);
}

static void
refuse_previous(struct sl_ask *ask, enum sl_fault_kind kind, const char *code,
                struct sl_slice message)
{
	struct sl_fault fault;

	sl_fault_set(&fault, kind, message);
	fault.code = sl_slice_str(code);
	fault.param = SL_SLICE("previous_response_id");
	sl_ask_refuse(ask, &fault);
}

/* As OpenAI says it. */
static void
refuse_unknown(struct sl_ask *ask)
{
	struct sl_slice id = member(sl_stored_body(ask), "previous_response_id").raw;

	refuse_previous(ask, SL_FAULT_BAD_REQUEST, "previous_response_not_found",
	                sl_arena_printf(&ask->exchange->arena,
	                                "Previous response with id %.*s not found: nothing of that "
	                                "name is kept for this key. Send the items themselves.",
	                                SL_ARG(id)));
}

/* The request with the conversation before its own items, on the front's arena; empty: out
 * of memory or larger than a request may be. */
static struct sl_slice
expanded(struct sl_ask *ask, struct sl_slice before)
{
	struct sl_json body = sl_json_parse(sl_stored_body(ask));
	struct sl_json input = sl_json_get(body, "input");
	struct sl_slice text;
	struct sl_buf buf;

	sl_buf_init(&buf, ask->world->config->limits.body_bytes);
	sl_buf_append_str(&buf, "{\"input\":[");
	sl_buf_append(&buf, before);
	if (input.type == SL_JSON_STRING) {
		sl_buf_append_str(&buf, before.len ? ",{\"role\":\"user\",\"content\":"
		                                   : "{\"role\":\"user\",\"content\":");
		sl_buf_append(&buf, input.raw);
		sl_buf_append_char(&buf, '}');
	} else if (input.type == SL_JSON_ARRAY) {
		text = sl_slice_trim(sl_slice_make(input.raw.ptr + 1, input.raw.len - 2));
		if (before.len && text.len)
			sl_buf_append_char(&buf, ',');
		sl_buf_append(&buf, text);
	}
	sl_buf_append_char(&buf, ']');
	for (struct sl_json_iter it = sl_json_iter(body); sl_json_next(&it);) {
		if (sl_slice_is(it.key, "input") || sl_slice_is(it.key, "previous_response_id"))
			continue;
		sl_buf_append_str(&buf, ",\"");
		sl_buf_append(&buf, it.key);
		sl_buf_append_str(&buf, "\":");
		sl_buf_append(&buf, it.value.raw);
	}
	sl_buf_append_char(&buf, '}');
	text = buf.failed ? SL_SLICE_NONE : sl_arena_dup(&ask->front->arena, sl_buf_slice(&buf));
	sl_buf_release(&buf);
	return text;
}

static void
on_chain(struct sl_response_find *found)
{
	struct sl_ask *ask = take(found);
	struct sl_slice body = SL_SLICE_NONE;
	enum sl_err err = found->err;

	if (!ask)
		return;
	if (err == SL_OK) {
		body = expanded(ask, sl_buf_slice(&found->items));
		err = body.len ? SL_OK : SL_ELIMIT;
	}
	sl_response_find_free(found);
	if (err == SL_OK) {
		ask->head->input.body = body;
		ask->front->steer = (struct sl_steer){ 0 };
		ask->front->went_on = true;
		sl_ask_go_on(ask);
	} else if (err == SL_ENOTFOUND) {
		refuse_unknown(ask);
	} else if (err == SL_ELIMIT) {
		refuse_previous(ask, SL_FAULT_TOO_LARGE, "conversation_too_long",
		                SL_SLICE("The conversation that is kept is larger than a request may "
		                         "be (limits.body_bytes). Begin a new one."));
	} else {
		refuse_busy(ask);
	}
}

struct sl_slice
sl_stored_body(const struct sl_ask *ask)
{
	return ask->front && !ask->front->went_on && ask->front->steer.input.body.len
	           ? ask->front->steer.input.body : sl_buf_slice(&ask->exchange->body);
}

bool
sl_stored_expand(struct sl_ask *ask)
{
	struct sl_json previous;
	struct sl_slice id;

	if ((ask->shape != &sl_shape_openai_responses &&
	     ask->shape != &sl_shape_openai_input_tokens) || ask->front->went_on)
		return false;
	previous = member(ask->front->steer.input.body, "previous_response_id");
	if (!sl_json_string(previous, &ask->front->arena, &id) ||
	    !sl_slice_starts(id, SL_SLICE(ID_OURS)))
		return false;
	if (!is_on(ask) || id.len > SL_RESPONSE_ID_MAX) {
		refuse_unknown(ask);
		return true;
	}
	ask->stored = find(ask, SL_RESPONSE_CHAIN, id, on_chain);
	if (!ask->stored)
		refuse_busy(ask);
	return true;
}

/* --- keeping ---------------------------------------------------------------------------- */

bool
sl_stored_wanted(const struct sl_ask *ask, struct sl_fault *fault)
{
	struct sl_json store = { .type = SL_JSON_NONE };

	fault->kind = SL_FAULT_NONE;
	if (ask->shape != &sl_shape_openai_responses || !ask->front)
		return false;
	store = member(ask->front->steer.input.body, "store");
	if (is_on(ask))
		return store.type != SL_JSON_FALSE;
	if (store.type == SL_JSON_TRUE) {
		sl_fault_set(fault, SL_FAULT_UNSUPPORTED,
		             SL_SLICE("'store' cannot be true: the provider keeps no answers, and this "
		                      "gateway is told to keep none (responses.keep_days)."));
		fault->param = SL_SLICE("store");
	}
	return false;
}

void
sl_stored_keep(struct sl_ask *ask, struct sl_slice response)
{
	struct sl_slice echo = ask->lane->caller.echo, previous = SL_SLICE_NONE;
	struct sl_arena *arena = &ask->exchange->arena;
	const struct sl_config_responses *config = &ask->world->config->responses;
	struct sl_response_keep keep = {
		.id = sl_arena_printf(arena, ID_PREFIX "%.*s", SL_ARG(ask->decision.request_id)),
		.owner = owner_of(ask),
		.input = member(echo, "input").raw,
		.response = response,
		.now_wall_ms = sl_loop_wall_ms(ask->gateway->loop),
		.keep_ms = (int64_t)config->keep_days * DAY_MS,
		.most_bytes = (int64_t)config->bytes,
	};

	if (member(response, "store").type != SL_JSON_TRUE)
		return; /* it failed, or is too large */
	if (sl_json_string(member(echo, "previous_response_id"), arena, &previous))
		keep.previous = previous;
	(void)sl_responses_keep(ask->gateway->services.store, &keep);
}

/* --- showing ---------------------------------------------------------------------------- */

bool
sl_stored_owns(struct sl_ask *ask)
{
	const struct sl_slice root = SL_SLICE("/v1/responses/"), items = SL_SLICE("/input_items");
	struct sl_slice method = ask->exchange->request.method, path, model, id;
	bool list;

	if (ask->shape || sl_slice_is(method, "POST"))
		return false;
	path = sl_shape_path(ask->head->selection.path, &ask->exchange->arena, &model);
	if (!sl_slice_starts(path, root))
		return false;
	id = sl_slice_from(path, root.len);
	list = sl_slice_ends(id, items);
	if (list)
		id.len -= items.len;
	if (id.len == 0 || sl_slice_find(id, '/') >= 0)
		return false;
	ask->shape = &sl_shape_openai_responses;
	ask->stored_id = sl_arena_dup(&ask->exchange->arena, id);
	if (sl_slice_is(method, "GET"))
		ask->stored_page = list ? SL_STORED_ITEMS : SL_STORED_GET;
	else if (sl_slice_is(method, "DELETE") && !list)
		ask->stored_page = SL_STORED_DELETE;
	else
		sl_ask_refuse_method(ask, list ? SL_SLICE("GET") : SL_SLICE("GET, DELETE"));
	return true;
}

static void
answer(struct sl_ask *ask, struct sl_buf *body)
{
	if (body->failed)
		refuse_busy(ask);
	else
		sl_ask_answer(ask, 200, SL_SLICE("application/json"), sl_buf_slice(body));
}

/* One item of a request as it is listed: with a type, an id, and parts for a text. */
static void
write_item(struct sl_buf *out, struct sl_slice response_id, size_t index, struct sl_json item)
{
	struct sl_json type = sl_json_get(item, "type"), content = sl_json_get(item, "content");
	bool message = type.type <= SL_JSON_NULL;
	bool text = content.type == SL_JSON_STRING;

	sl_buf_append_char(out, '{');
	if (sl_json_get(item, "id").type <= SL_JSON_NULL)
		sl_buf_printf(out, "\"id\":\"item_%.*s_%zu\",", SL_ARG(response_id), index);
	if (message)
		sl_buf_append_str(out, "\"type\":\"message\",");
	if (text)
		sl_buf_printf(out, "\"content\":[{\"type\":\"%s\",\"text\":%.*s}],",
		              sl_json_is(sl_json_get(item, "role"), "assistant") ? "output_text"
		                                                                : "input_text",
		              SL_ARG(content.raw));
	for (struct sl_json_iter it = sl_json_iter(item); sl_json_next(&it);) {
		if ((text && sl_slice_is(it.key, "content")) || it.value.type == SL_JSON_NULL)
			continue;
		sl_buf_append_char(out, '"');
		sl_buf_append(out, it.key);
		sl_buf_append_str(out, "\":");
		sl_buf_append(out, it.value.raw);
		sl_buf_append_char(out, ',');
	}
	out->len--; /* the comma */
	sl_buf_append_char(out, '}');
}

/* A query's value; empty: not there. */
static struct sl_slice
query_value(const struct sl_ask *ask, const char *name)
{
	struct sl_slice rest = ask->exchange->request.query;

	while (rest.len > 0) {
		struct sl_slice value = sl_slice_cut(&rest, '&');
		struct sl_slice key = sl_slice_cut(&value, '=');

		if (sl_slice_is(key, name))
			return value;
	}
	return SL_SLICE_NONE;
}

static struct sl_slice
id_of(struct sl_json written, struct sl_arena *arena)
{
	struct sl_slice id = SL_SLICE_NONE;

	(void)sl_json_string(sl_json_get(written, "id"), arena, &id);
	return id;
}

/* The items as a page of a list: newest first unless asked otherwise. */
static void
write_items(struct sl_ask *ask, struct sl_slice items, struct sl_buf *out)
{
	struct sl_arena *arena = &ask->exchange->arena;
	struct sl_slice after = query_value(ask, "after"), first = SL_SLICE_NONE, last = first;
	bool up = sl_slice_is(query_value(ask, "order"), "asc"), more = false;
	int64_t limit = ITEMS_DEFAULT;
	struct sl_json list;
	struct sl_buf all;
	size_t count = 0, written = 0;
	struct sl_json *each;

	sl_buf_init(&all, SL_RESPONSE_BYTES_MAX * 2);
	sl_buf_append_char(&all, '[');
	sl_buf_append(&all, items);
	sl_buf_append_char(&all, ']');
	list = sl_json_parse(sl_buf_slice(&all));
	for (struct sl_json_iter it = sl_json_iter(list); sl_json_next(&it);)
		count++;
	each = SL_ARENA_ARRAY(arena, struct sl_json, count + 1);
	if (!each || all.failed) {
		out->failed = true;
		sl_buf_release(&all);
		return;
	}
	for (struct sl_json_iter it = sl_json_iter(list); sl_json_next(&it);)
		each[it.index] = it.value;
	if (!sl_slice_i64(query_value(ask, "limit"), &limit) || limit < 1 || limit > ITEMS_MAX)
		limit = ITEMS_DEFAULT;
	sl_buf_append_str(out, "{\"object\":\"list\",\"data\":[");
	for (size_t i = 0; i < count && !more; i++) {
		size_t at = up ? i : count - 1 - i, begin = out->len;
		struct sl_slice id;

		if (written == (size_t)limit) {
			more = true;
			break;
		}
		if (written > 0)
			sl_buf_append_char(out, ',');
		write_item(out, ask->stored_id, at, each[at]);
		id = id_of(sl_json_parse(sl_slice_from(sl_buf_slice(out), begin + (written > 0))),
		           arena);
		if (after.len) {
			out->len = begin; /* not there yet */
			if (sl_slice_eq(id, after))
				after = SL_SLICE_NONE;
			continue;
		}
		last = sl_arena_dup(arena, id);
		first = written++ == 0 ? last : first;
	}
	sl_buf_append_str(out, "],\"first_id\":");
	sl_json_quote(out, first);
	sl_buf_append_str(out, ",\"last_id\":");
	sl_json_quote(out, last);
	sl_buf_printf(out, ",\"has_more\":%s}", more ? "true" : "false");
	sl_buf_release(&all);
}

static void
refuse_missing(struct sl_ask *ask)
{
	sl_ask_refuse_with(ask, SL_FAULT_NOT_FOUND,
	                   sl_arena_printf(&ask->exchange->arena,
	                       "Response with id '%.*s' not found: nothing of that name is kept for "
	                       "this key. What a provider keeps has to be asked for there.",
	                       SL_ARG(ask->stored_id)));
}

static void
on_found(struct sl_response_find *found)
{
	struct sl_ask *ask = take(found);
	struct sl_buf body;

	if (!ask)
		return;
	sl_buf_init(&body, 4 * SL_RESPONSE_BYTES_MAX);
	if (found->err == SL_ENOTFOUND) {
		refuse_missing(ask);
	} else if (found->err != SL_OK) {
		refuse_busy(ask);
	} else if (ask->stored_page == SL_STORED_GET) {
		answer(ask, &found->response);
	} else if (ask->stored_page == SL_STORED_ITEMS) {
		write_items(ask, sl_buf_slice(&found->items), &body);
		answer(ask, &body);
	} else {
		sl_buf_printf(&body, "{\"id\":\"%.*s\",\"object\":\"response\",\"deleted\":true}",
		              SL_ARG(ask->stored_id));
		answer(ask, &body);
	}
	sl_buf_release(&body);
	sl_response_find_free(found);
}

bool
sl_stored_run(struct sl_ask *ask)
{
	bool removes = ask->stored_page == SL_STORED_DELETE;

	if (ask->stored_page == SL_STORED_NONE)
		return false;
	if (sl_slice_is(query_value(ask, "stream"), "true")) {
		sl_ask_refuse_with(ask, SL_FAULT_UNSUPPORTED,
		                   SL_SLICE("A kept answer is complete and is given whole: leave "
		                            "'stream' out."));
		return true;
	}
	if (!is_on(ask) || !sl_slice_starts(ask->stored_id, SL_SLICE(ID_OURS)) ||
	    ask->stored_id.len > SL_RESPONSE_ID_MAX) {
		refuse_missing(ask);
		return true;
	}
	ask->stored = find(ask, removes ? SL_RESPONSE_REMOVE : SL_RESPONSE_ONE, ask->stored_id,
	                   on_found);
	if (!ask->stored)
		refuse_busy(ask);
	return true;
}
