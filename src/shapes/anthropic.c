/* anthropic.c - what the shapes of the Anthropic family share. */
#include "shapes/anthropic.h"

/* Sets a class to the larger of what is known and what is said. */
static void
raise_to(struct sl_usage *usage, enum sl_usage_class class_, struct sl_json object,
         const char *path)
{
	int64_t count;

	if (sl_reply_count(object, path, &count) &&
	    (!sl_usage_has(usage, class_) || count > sl_usage_get(usage, class_)))
		sl_usage_set(usage, class_, count);
}

void
sl_anthropic_usage(struct sl_json value, struct sl_usage *usage)
{
	int64_t fresh, before;

	/* input_tokens of this API are those that no cache took part in. */
	fresh = before = sl_usage_get(usage, SL_USAGE_INPUT) -
	                 sl_usage_get(usage, SL_USAGE_CACHE_READ) -
	                 sl_usage_get(usage, SL_USAGE_CACHE_WRITE);
	if (sl_reply_count(value, "input_tokens", &fresh)) {
		if (fresh < before)
			fresh = before;
		sl_usage_set(usage, SL_USAGE_INPUT, fresh);
	}
	raise_to(usage, SL_USAGE_CACHE_READ, value, "cache_read_input_tokens");
	raise_to(usage, SL_USAGE_CACHE_WRITE, value, "cache_creation_input_tokens");
	raise_to(usage, SL_USAGE_CACHE_WRITE_1H, value, "cache_creation.ephemeral_1h_input_tokens");
	if (sl_usage_has(usage, SL_USAGE_INPUT) || sl_usage_has(usage, SL_USAGE_CACHE_READ) ||
	    sl_usage_has(usage, SL_USAGE_CACHE_WRITE)) {
		int64_t total = fresh < 0 ? 0 : fresh;

		/* A provider's absurd figures must not wrap. */
		if (__builtin_add_overflow(total, sl_usage_get(usage, SL_USAGE_CACHE_READ),
		                           &total) ||
		    __builtin_add_overflow(total, sl_usage_get(usage, SL_USAGE_CACHE_WRITE),
		                           &total))
			total = INT64_MAX;
		sl_usage_set(usage, SL_USAGE_INPUT, total);
	}
	raise_to(usage, SL_USAGE_OUTPUT, value, "output_tokens");
	raise_to(usage, SL_USAGE_REASONING, value, "output_tokens_details.thinking_tokens");
	raise_to(usage, SL_USAGE_WEB_SEARCH, value, "server_tool_use.web_search_requests");
}

const char *
sl_anthropic_error_type(int status)
{
	switch (status) {
	case 401:
		return "authentication_error";
	case 402:
		return "billing_error";
	case 403:
		return "permission_error";
	case 404:
		return "not_found_error";
	case 409:
		return "conflict_error";
	case 413:
		return "request_too_large";
	case 429:
		return "rate_limit_error";
	case 503:
	case 529:
		return "overloaded_error";
	case 408:
	case 504:
		return "timeout_error";
	default:
		return status >= 500 ? "api_error" : "invalid_request_error";
	}
}

void
sl_anthropic_write_fault(const struct sl_fault *fault, struct sl_slice request_id,
                         struct sl_buf *out)
{
	struct sl_json_writer w;

	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_str(&w, "type", SL_SLICE("error"));
	sl_json_key(&w, "error");
	sl_json_obj(&w);
	sl_json_str(&w, "type", sl_slice_str(sl_anthropic_error_type(sl_fault_status(fault))));
	sl_json_str(&w, "message", fault->message);
	sl_json_obj_end(&w);
	sl_json_str(&w, "request_id", request_id);
	sl_json_obj_end(&w);
}

void
sl_anthropic_write_stream_fault(const struct sl_stream_state *state,
                                const struct sl_fault *fault, struct sl_slice request_id,
                                enum sl_framing framing, struct sl_buf *out)
{
	(void)state;
	(void)framing;
	sl_buf_append_str(out, "event: error\ndata: ");
	sl_anthropic_write_fault(fault, request_id, out);
	sl_buf_append_str(out, "\n\n");
}
