/* codec_error.c - error replies of any provider, as faults.
 *
 * The status decides the class, words only refine it: vendors agree on statuses
 * and on little else. Bodies seen: {"error":{...}}, {"error":"text"}, {"message"},
 * {"detail":[{"msg"}]}, [{"error":{...}}], HTML, nothing.
 */
#include "shapes/codec.h"

enum { MESSAGE_MAX = 1000 };

static const struct {
	int                status;
	enum sl_fault_kind kind;
} kinds[] = {
	{ 400, SL_FAULT_BAD_REQUEST },  { 404, SL_FAULT_NO_ROUTE },
	{ 408, SL_FAULT_UPSTREAM_TIMEOUT }, { 409, SL_FAULT_CONFLICT },
	{ 413, SL_FAULT_TOO_LARGE },    { 422, SL_FAULT_BAD_REQUEST },
	{ 424, SL_FAULT_UPSTREAM_STATUS }, { 429, SL_FAULT_RPM },
	{ 498, SL_FAULT_UPSTREAM_AUTH }, { 499, SL_FAULT_UPSTREAM_STATUS },
	{ 503, SL_FAULT_OVERLOADED },   { 504, SL_FAULT_UPSTREAM_TIMEOUT },
	{ 529, SL_FAULT_OVERLOADED },
};

static enum sl_fault_kind
kind_of(int status)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].status == status)
			return kinds[i].kind;
	return status >= 500 ? SL_FAULT_UPSTREAM_STATUS : SL_FAULT_BAD_REQUEST;
}

static struct sl_slice
cut(struct sl_slice text)
{
	if (text.len <= MESSAGE_MAX)
		return text;
	text.len = MESSAGE_MAX;
	while (text.len && ((unsigned char)text.ptr[text.len] & 0xc0) == 0x80)
		text.len--;
	return text;
}

static struct sl_slice
text_of(struct sl_json value, struct sl_arena *arena)
{
	struct sl_slice text;

	if (value.type <= SL_JSON_NULL)
		return SL_SLICE_NONE;
	if (!sl_json_string(value, arena, &text))
		text = value.raw;
	return sl_arena_dup(arena, cut(text));
}

/* The message and the code of an error object, or of the text that it is. */
static void
read_object(struct sl_json error, struct sl_arena *arena, struct sl_fault *out)
{
	struct sl_json detail;
	struct sl_json_iter it;

	if (error.type != SL_JSON_OBJECT) {
		out->message = text_of(error, arena);
		return;
	}
	out->message = text_of(sl_json_get(error, "message"), arena);
	out->code = text_of(sl_json_get(error, "code"), arena);
	if (out->message.len)
		return;
	detail = sl_json_get(error, "detail");
	it = sl_json_iter(detail);
	if (detail.type == SL_JSON_ARRAY && sl_json_next(&it))
		detail = sl_json_get(it.value, "msg");
	out->message = text_of(detail, arena);
	if (out->message.len == 0)
		out->message = text_of(sl_json_get(error, "error"), arena);
}

bool
sl_codec_says_too_long(struct sl_slice body)
{
	static const char *const words[] = {
		"context_length_exceeded", "maximum context length", "context window",
		"prompt is too long", "exceed context limit", "Input is too long",
		"input is too long", "input token count", "exceeds the maximum number of tokens",
		"too many tokens", "too many input tokens",
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (sl_slice_search(body, sl_slice_str(words[i])) >= 0)
			return true;
	return false;
}

/* What a status does not say. */
static void
refine(struct sl_json error, struct sl_fault *out)
{
	struct sl_slice raw = error.raw;

	/* A provider's own codes are numbers of HTTP or words of its own: only the ones
	 * that clients of every API know travel. */
	out->code = SL_SLICE_NONE;
	if (out->kind == SL_FAULT_RPM && sl_slice_search(raw, SL_SLICE("insufficient_quota")) >= 0)
		out->code = SL_SLICE("insufficient_quota");
	if (out->kind != SL_FAULT_BAD_REQUEST && out->kind != SL_FAULT_TOO_LARGE)
		return;
	if (sl_codec_says_too_long(raw))
		out->code = SL_SLICE("context_length_exceeded");
	else if (sl_slice_search(raw, SL_SLICE("content_filter")) >= 0)
		out->code = SL_SLICE("content_filter");
}

static void
fill(struct sl_json value, struct sl_arena *arena, struct sl_fault *out)
{
	struct sl_json error = value;
	struct sl_json_iter it = sl_json_iter(value);

	if (value.type == SL_JSON_ARRAY && sl_json_next(&it))
		error = value = it.value;
	if (sl_json_get(value, "error").type > SL_JSON_NULL)
		error = sl_json_get(value, "error");
	read_object(error, arena, out);
	refine(value, out);
	out->param = SL_SLICE_NONE; /* names a parameter of another API */
}

/* "7s", "0.25s", in milliseconds. */
static int64_t
delay_of(struct sl_json text)
{
	struct sl_json number = { .type = SL_JSON_NUMBER };
	double seconds = 0;

	if (text.type != SL_JSON_STRING || text.raw.len < 4 ||
	    text.raw.ptr[text.raw.len - 2] != 's')
		return 0;
	number.raw = sl_slice_make(text.raw.ptr + 1, text.raw.len - 3);
	if (sl_json_validate(number.raw, NULL, NULL) != SL_OK || !sl_json_f64(number, &seconds) ||
	    seconds < 0 || seconds > 1e6)
		return 0;
	return (int64_t)(seconds * 1000);
}

int64_t
sl_codec_read_delay_ms(struct sl_slice body)
{
	struct sl_json error, details;
	int64_t found = 0;

	/* Most errors have none: they are not read for it. */
	if (sl_slice_search(body, SL_SLICE("google.rpc.RetryInfo")) < 0 ||
	    sl_json_validate(body, NULL, NULL) != SL_OK)
		return 0;
	error = sl_json_parse(body);
	if (error.type == SL_JSON_ARRAY) {
		struct sl_json_iter first = sl_json_iter(error);

		error = sl_json_next(&first) ? first.value : error;
	}
	details = sl_json_at(error, "error.details");
	for (struct sl_json_iter it = sl_json_iter(details);
	     details.type == SL_JSON_ARRAY && !found && sl_json_next(&it);)
		found = delay_of(sl_json_get(it.value, "retryDelay"));
	return found;
}

void
sl_codec_read_error(int status, struct sl_slice body, struct sl_arena *arena,
                    struct sl_fault *out)
{
	*out = (struct sl_fault){ .kind = kind_of(status) };
	if (sl_json_validate(body, NULL, NULL) == SL_OK)
		fill(sl_json_parse(body), arena, out);
	if (out->message.len == 0)
		out->message = sl_arena_printf(arena, "The provider answered with status %d and "
		                               "no explanation.", status);
}

void
sl_codec_read_error_value(struct sl_json error, struct sl_arena *arena, struct sl_fault *out)
{
	static const struct {
		const char *word;
		int         status;
	} words[] = {
		{ "overloaded_error", 529 }, { "rate_limit_error", 429 },
		{ "rate_limit_exceeded", 429 }, { "RESOURCE_EXHAUSTED", 429 },
		{ "UNAVAILABLE", 503 }, { "invalid_request_error", 400 },
		{ "INVALID_ARGUMENT", 400 }, { "timeout_error", 504 },
	};
	static const char *const members[] = { "status", "type", "code" };
	int status = 502;
	int64_t number;

	for (size_t m = 0; m < 3 && status == 502; m++) {
		struct sl_json value = sl_json_get(error, members[m]);

		if (sl_json_i64(value, &number) && number >= 400 && number < 600)
			status = (int)number;
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (sl_json_is(value, words[i].word))
				status = words[i].status;
	}
	/* A refused credential is ours, whatever the event says. */
	if (status == 401 || status == 402 || status == 403)
		status = 502;
	*out = (struct sl_fault){ .kind = kind_of(status) };
	fill(error, arena, out);
	if (out->message.len == 0)
		out->message = SL_SLICE("The provider reported an error without an explanation.");
}
