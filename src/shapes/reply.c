/* reply.c - reading replies and frames in passing. */
#include "shapes/reply.h"

enum { TEXT_MAX_SIZE = 1000 };

/* Replies are the provider's: generous, but bounded. */
static const struct sl_json_limits reply_limits = { .max_depth = 512, .max_members = 1 << 20 };

/* A copy that outlives the frame, shortened on a UTF-8 boundary. */
static struct sl_slice
keep(struct sl_arena *arena, struct sl_slice text)
{
	if (text.len > TEXT_MAX_SIZE) {
		text.len = TEXT_MAX_SIZE;
		while (text.len && ((unsigned char)text.ptr[text.len] & 0xc0) == 0x80)
			text.len--;
	}
	return sl_arena_dup(arena, text);
}

void
sl_reply_fail(struct sl_reply_facts *facts, struct sl_arena *arena, struct sl_slice type,
              struct sl_slice message)
{
	if (facts->failed)
		return;
	facts->failed = true;
	facts->error_type = keep(arena, type);
	facts->error_message = keep(arena, message);
}

bool
sl_reply_scan(struct sl_slice doc, const struct sl_json_want *wants, size_t want_count,
              struct sl_json_found *found, struct sl_arena *arena,
              struct sl_reply_facts *facts)
{
	struct sl_json_error at = { 0 };
	enum sl_err err = sl_json_scan(doc, &reply_limits, wants, want_count, found, NULL, &at);

	if (err == SL_OK)
		return true;
	facts->broken = true;
	sl_reply_fail(facts, arena, SL_SLICE("upstream_invalid_response"),
	              sl_arena_printf(arena, "not a JSON object: %s (byte %zu).",
	                              at.reason ? at.reason : sl_err_text(err), at.offset));
	return false;
}

void
sl_reply_model(struct sl_reply_facts *facts, struct sl_json model, struct sl_arena *arena)
{
	struct sl_slice name;

	if (facts->model.len == 0 && sl_json_string(model, arena, &name) && name.len)
		facts->model = keep(arena, name);
}

static struct sl_slice
text_or_raw(struct sl_json value, struct sl_arena *arena)
{
	struct sl_slice text;

	if (value.type == SL_JSON_NULL)
		return SL_SLICE_NONE;
	return sl_json_string(value, arena, &text) ? text : value.raw;
}

bool
sl_reply_error(struct sl_reply_facts *facts, struct sl_json error, struct sl_arena *arena)
{
	static const char *const type_keys[] = { "type", "code", "status" };
	struct sl_slice type = SL_SLICE_NONE, message;

	if (error.type <= SL_JSON_NULL || error.type == SL_JSON_FALSE)
		return false;
	/* The first one counts; an endless stream of them must cost no memory. */
	if (facts->failed)
		return true;
	if (error.type != SL_JSON_OBJECT) {
		message = text_or_raw(error, arena);
	} else {
		message = text_or_raw(sl_json_get(error, "message"), arena);
		/* The type of an event that is an error says no more than that. */
		for (size_t i = 0; i < sizeof(type_keys) / sizeof(type_keys[0]) && !type.len; i++)
			if (!sl_json_is(sl_json_get(error, type_keys[i]), "error"))
				type = text_or_raw(sl_json_get(error, type_keys[i]), arena);
	}
	sl_reply_fail(facts, arena, type, message);
	return true;
}

void
sl_reply_read_plain(const struct sl_steer *steer, struct sl_slice body, struct sl_arena *arena,
                    struct sl_reply_facts *facts)
{
	static const struct sl_json_want wants[] = { { "error" } };
	struct sl_json_found found;

	(void)steer;
	if (!sl_reply_scan(body, wants, 1, &found, arena, facts) ||
	    sl_reply_error(facts, sl_reply_value(body, &found), arena))
		return;
	facts->content = true;
	facts->finished = true;
}

bool
sl_reply_has(struct sl_json value)
{
	switch (value.type) {
	case SL_JSON_STRING:
		return value.raw.len > 2;
	case SL_JSON_ARRAY:
	case SL_JSON_OBJECT: {
		struct sl_json_iter it = sl_json_iter(value);

		return sl_json_next(&it);
	}
	default:
		return false;
	}
}

bool
sl_reply_count(struct sl_json object, const char *path, int64_t *out)
{
	return sl_json_i64(sl_json_at(object, path), out) && *out >= 0;
}
