/* reply.c - replies and streams of the simulated provider.
 *
 * Event orders follow the providers' documented grammars, so that the official
 * SDKs accept them; content is the same sentence over and over.
 */
#include "mock/reply.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/rand.h"

enum { EMBEDDING_DIMENSIONS = 8, DIMENSIONS_MAX = 4096, INPUTS_MAX = 2048 };

const struct sl_mock_options sl_mock_options_default = {
	.chunks = 16,
	.input_tokens = -1,
	.output_tokens = -1,
	.cut = -1,
	.cut_byte = -1,
};

/* --- reading the request -------------------------------------------------- */

enum sl_mock_kind
sl_mock_kind_of(struct sl_slice path)
{
	static const struct {
		const char       *ending;
		enum sl_mock_kind kind;
	} endings[] = {
		{ "/chat/completions", SL_MOCK_CHAT },
		{ "/completions", SL_MOCK_COMPLETIONS },
		{ "/responses", SL_MOCK_RESPONSES },
		{ "/responses/input_tokens", SL_MOCK_INPUT_TOKENS },
		{ "/embeddings", SL_MOCK_EMBEDDINGS },
		{ "/moderations", SL_MOCK_MODERATIONS },
		{ "/messages", SL_MOCK_MESSAGES },
		{ "/messages/count_tokens", SL_MOCK_COUNT_TOKENS },
		{ ":generateContent", SL_MOCK_GEMINI },
		{ ":streamGenerateContent", SL_MOCK_GEMINI },
		{ ":countTokens", SL_MOCK_GEMINI_COUNT },
		{ ":embedContent", SL_MOCK_GEMINI_EMBED },
		{ ":batchEmbedContents", SL_MOCK_GEMINI_BATCH_EMBED },
	};

	for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++)
		if (sl_slice_ends(path, sl_slice_str(endings[i].ending)))
			return endings[i].kind;
	return SL_MOCK_UNKNOWN;
}

static bool
is_gemini(enum sl_mock_kind kind)
{
	return kind >= SL_MOCK_GEMINI && kind <= SL_MOCK_GEMINI_BATCH_EMBED;
}

/* The segment between "/models/" and the last ':'. */
static struct sl_slice
model_in_path(struct sl_slice path)
{
	ptrdiff_t at = sl_slice_search(path, SL_SLICE("/models/"));
	struct sl_slice rest = at < 0 ? SL_SLICE_NONE : sl_slice_from(path, (size_t)at + 8);

	while (rest.len > 0 && rest.ptr[rest.len - 1] != ':')
		rest.len--;
	if (rest.len > 0)
		rest.len--;
	return rest;
}

static int64_t
count_inputs(struct sl_json input)
{
	int64_t count = 0;

	if (input.type != SL_JSON_ARRAY)
		return 1;
	for (struct sl_json_iter it = sl_json_iter(input); sl_json_next(&it);) {
		/* An array of numbers is one tokenised input. */
		if (it.value.type == SL_JSON_NUMBER)
			return 1;
		count++;
	}
	return count < INPUTS_MAX ? count : INPUTS_MAX;
}

bool
sl_mock_read(struct sl_mock_reply *reply, struct sl_slice path, struct sl_slice query,
             struct sl_slice body)
{
	struct sl_json_error error;
	struct sl_json doc, model;
	struct sl_arena arena;
	struct sl_slice name = SL_SLICE("mock");

	if (sl_json_validate(body, &sl_json_limits_default, &error) != SL_OK)
		return false;
	doc = sl_json_parse(body);
	if (doc.type != SL_JSON_OBJECT)
		return false;
	reply->kind = sl_mock_kind_of(path);
	sl_arena_init(&arena, 256, 0);
	model = sl_json_get(doc, "model");
	if (is_gemini(reply->kind))
		name = model_in_path(path);
	else if (!sl_json_string(model, &arena, &name))
		name = SL_SLICE("mock");
	snprintf(reply->model, sizeof(reply->model), "%.*s", SL_ARG(name));
	sl_arena_release(&arena);
	reply->stream = sl_json_true(sl_json_get(doc, "stream"));
	if (is_gemini(reply->kind)) {
		reply->stream = sl_slice_ends(path, SL_SLICE(":streamGenerateContent"));
		reply->array_stream = reply->stream &&
		                      sl_slice_search(query, SL_SLICE("alt=sse")) < 0;
	}
	reply->with_usage = sl_json_true(sl_json_at(doc, "stream_options.include_usage"));
	reply->base64 = sl_json_is(sl_json_get(doc, "encoding_format"), "base64");
	if (!sl_json_i64(sl_json_get(doc, "dimensions"), &reply->dimensions) ||
	    reply->dimensions < 1 || reply->dimensions > DIMENSIONS_MAX)
		reply->dimensions = EMBEDDING_DIMENSIONS;
	reply->inputs = count_inputs(reply->kind == SL_MOCK_GEMINI_BATCH_EMBED
	                                 ? sl_json_get(doc, "requests")
	                                 : sl_json_get(doc, "input"));
	/* Four bytes a token is the usual rule of thumb. */
	reply->input_tokens = reply->options.input_tokens >= 0 ? reply->options.input_tokens
	                                                       : (int64_t)body.len / 4 + 1;
	reply->output_tokens = reply->options.output_tokens >= 0 ? reply->options.output_tokens
	                                                         : reply->options.chunks;
	sl_rand_ulid(reply->id, reply->created_s * 1000);
	return true;
}

/* --- content -------------------------------------------------------------- */

static void
put_piece_text(const struct sl_mock_reply *reply, uint32_t index, struct sl_buf *out)
{
	static const char *const words[] = {
		"This ", "answer ", "is ", "simulated ", "by ", "Sluice, ", "so ", "your ",
		"first ", "request ", "needs ", "no ", "account ", "and ", "costs ", "nothing. "
	};
	const char *word = words[index % 16];

	if (reply->options.chunk_size == 0) {
		sl_buf_append_str(out, word);
		return;
	}
	if (sl_buf_reserve(out, reply->options.chunk_size) == SL_OK) {
		memset(out->ptr + out->len, 'a' + (char)(index % 26), reply->options.chunk_size);
		out->len += reply->options.chunk_size;
	}
}

static void
put_text(const struct sl_mock_reply *reply, struct sl_buf *out)
{
	for (uint32_t i = 0; i < reply->options.chunks; i++)
		put_piece_text(reply, i, out);
}

/* --- OpenAI --------------------------------------------------------------- */

static void
put_chat_usage(const struct sl_mock_reply *reply, struct sl_buf *out)
{
	sl_buf_printf(out,
	    "\"usage\":{\"prompt_tokens\":%" PRId64 ",\"completion_tokens\":%" PRId64
	    ",\"total_tokens\":%" PRId64 ",\"prompt_tokens_details\":{\"cached_tokens\":0},"
	    "\"completion_tokens_details\":{\"reasoning_tokens\":0}}",
	    reply->input_tokens, reply->output_tokens,
	    reply->input_tokens + reply->output_tokens);
}

static void
put_chat_head(const struct sl_mock_reply *reply, const char *object, struct sl_buf *out)
{
	sl_buf_printf(out, "{\"id\":\"chatcmpl-%s\",\"object\":\"%s\",\"created\":%" PRId64
	              ",\"model\":", reply->id, object, reply->created_s);
	sl_json_quote(out, sl_slice_str(reply->model));
}

static void
put_chat_whole(const struct sl_mock_reply *reply, struct sl_buf *out)
{
	put_chat_head(reply, "chat.completion", out);
	sl_buf_append_str(out, ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
	                       "\"content\":\"");
	put_text(reply, out);
	sl_buf_append_str(out, "\",\"refusal\":null},\"logprobs\":null,"
	                       "\"finish_reason\":\"stop\"}],");
	put_chat_usage(reply, out);
	sl_buf_append_char(out, '}');
}

static void
put_chat_chunk(const struct sl_mock_reply *reply, const char *before, const char *after,
               int64_t piece, struct sl_buf *out)
{
	sl_buf_append_str(out, "data: ");
	put_chat_head(reply, "chat.completion.chunk", out);
	sl_buf_append_str(out, before);
	if (piece >= 0)
		put_piece_text(reply, (uint32_t)piece, out);
	sl_buf_append_str(out, after);
	sl_buf_append_str(out, "}\n\n");
}

static void
put_chat_end(const struct sl_mock_reply *reply, struct sl_buf *out)
{
	put_chat_chunk(reply, ",\"choices\":[{\"index\":0,\"delta\":{},"
	                      "\"finish_reason\":\"stop\"}]", "", -1, out);
	if (reply->with_usage) {
		sl_buf_append_str(out, "data: ");
		put_chat_head(reply, "chat.completion.chunk", out);
		sl_buf_append_str(out, ",\"choices\":[],");
		put_chat_usage(reply, out);
		sl_buf_append_str(out, "}\n\n");
	}
	sl_buf_append_str(out, "data: [DONE]\n\n");
}

static void
put_completion(const struct sl_mock_reply *reply, bool whole, int64_t piece,
               struct sl_buf *out)
{
	sl_buf_printf(out, "{\"id\":\"cmpl-%s\",\"object\":\"text_completion\",\"created\":%"
	              PRId64 ",\"model\":", reply->id, reply->created_s);
	sl_json_quote(out, sl_slice_str(reply->model));
	sl_buf_append_str(out, ",\"choices\":[{\"text\":\"");
	if (whole)
		put_text(reply, out);
	else if (piece >= 0)
		put_piece_text(reply, (uint32_t)piece, out);
	sl_buf_printf(out, "\",\"index\":0,\"logprobs\":null,\"finish_reason\":%s}]",
	              piece >= 0 && !whole ? "null" : "\"stop\"");
	if (whole || (piece < 0 && reply->with_usage)) {
		sl_buf_append_char(out, ',');
		put_chat_usage(reply, out);
	}
	sl_buf_append_char(out, '}');
}

/* The Response object; text only when it is complete. */
static void
put_response(const struct sl_mock_reply *reply, bool complete, struct sl_buf *out)
{
	sl_buf_printf(out,
	    "{\"id\":\"resp_%s\",\"object\":\"response\",\"created_at\":%" PRId64
	    ",\"status\":\"%s\",\"error\":null,\"incomplete_details\":null,"
	    "\"instructions\":null,\"max_output_tokens\":null,\"model\":",
	    reply->id, reply->created_s, complete ? "completed" : "in_progress");
	sl_json_quote(out, sl_slice_str(reply->model));
	sl_buf_append_str(out, ",\"output\":[");
	if (complete) {
		sl_buf_printf(out, "{\"type\":\"message\",\"id\":\"msg_%s\",\"status\":"
		              "\"completed\",\"role\":\"assistant\",\"content\":[{\"type\":"
		              "\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"",
		              reply->id);
		put_text(reply, out);
		sl_buf_append_str(out, "\"}]}");
	}
	sl_buf_append_str(out, "],\"parallel_tool_calls\":true,\"previous_response_id\":null,"
	                       "\"reasoning\":{\"effort\":null,\"summary\":null},\"store\":true,"
	                       "\"temperature\":1.0,\"text\":{\"format\":{\"type\":\"text\"}},"
	                       "\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":1.0,"
	                       "\"truncation\":\"disabled\",\"user\":null,\"metadata\":{},");
	if (complete)
		sl_buf_printf(out,
		    "\"usage\":{\"input_tokens\":%" PRId64 ",\"input_tokens_details\":"
		    "{\"cached_tokens\":0},\"output_tokens\":%" PRId64
		    ",\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":%"
		    PRId64 "}}",
		    reply->input_tokens, reply->output_tokens,
		    reply->input_tokens + reply->output_tokens);
	else
		sl_buf_append_str(out, "\"usage\":null}");
}

static void
begin_event(const char *type, uint32_t sequence, struct sl_buf *out)
{
	sl_buf_printf(out, "event: %s\ndata: {\"type\":\"%s\",\"sequence_number\":%u", type, type,
	              sequence);
}

static void
put_responses_begin(const struct sl_mock_reply *reply, struct sl_buf *out)
{
	begin_event("response.created", 0, out);
	sl_buf_append_str(out, ",\"response\":");
	put_response(reply, false, out);
	sl_buf_append_str(out, "}\n\n");
	begin_event("response.in_progress", 1, out);
	sl_buf_append_str(out, ",\"response\":");
	put_response(reply, false, out);
	sl_buf_append_str(out, "}\n\n");
	begin_event("response.output_item.added", 2, out);
	sl_buf_printf(out, ",\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"msg_%s\","
	              "\"status\":\"in_progress\",\"role\":\"assistant\",\"content\":[]}}\n\n",
	              reply->id);
	begin_event("response.content_part.added", 3, out);
	sl_buf_printf(out, ",\"item_id\":\"msg_%s\",\"output_index\":0,\"content_index\":0,"
	              "\"part\":{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],"
	              "\"text\":\"\"}}\n\n", reply->id);
}

static void
put_responses_end(const struct sl_mock_reply *reply, struct sl_buf *out)
{
	uint32_t sequence = 4 + reply->options.chunks;

	begin_event("response.output_text.done", sequence, out);
	sl_buf_printf(out, ",\"item_id\":\"msg_%s\",\"output_index\":0,\"content_index\":0,"
	              "\"logprobs\":[],\"text\":\"", reply->id);
	put_text(reply, out);
	sl_buf_append_str(out, "\"}\n\n");
	begin_event("response.content_part.done", sequence + 1, out);
	sl_buf_printf(out, ",\"item_id\":\"msg_%s\",\"output_index\":0,\"content_index\":0,"
	              "\"part\":{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],"
	              "\"text\":\"", reply->id);
	put_text(reply, out);
	sl_buf_append_str(out, "\"}}\n\n");
	begin_event("response.output_item.done", sequence + 2, out);
	sl_buf_printf(out, ",\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"msg_%s\","
	              "\"status\":\"completed\",\"role\":\"assistant\",\"content\":[{\"type\":"
	              "\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"", reply->id);
	put_text(reply, out);
	sl_buf_append_str(out, "\"}]}}\n\n");
	begin_event("response.completed", sequence + 3, out);
	sl_buf_append_str(out, ",\"response\":");
	put_response(reply, true, out);
	sl_buf_append_str(out, "}\n\n");
}

/* Little-endian float32 as base64, or numbers. Values depend on position only. */
static void
put_vector(const struct sl_mock_reply *reply, int64_t index, struct sl_buf *out)
{
	static const char alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned bits = 0, count = 0;

	sl_buf_append_char(out, reply->base64 ? '"' : '[');
	for (int64_t i = 0; i < reply->dimensions; i++) {
		float value = (float)((i * 31 + index * 17) % 199 - 99) / 128.0f;
		unsigned char bytes[4];

		if (!reply->base64) {
			sl_buf_printf(out, "%s%.7g", i ? "," : "", (double)value);
			continue;
		}
		memcpy(bytes, &value, 4);
		for (int b = 0; b < 4; b++) {
			bits = bits << 8 | bytes[b];
			if (++count % 3 == 0)
				for (int shift = 18; shift >= 0; shift -= 6)
					sl_buf_append_char(out, alphabet[bits >> shift & 63]);
		}
	}
	if (reply->base64 && count % 3 > 0) {
		bits <<= count % 3 == 1 ? 16 : 8;
		sl_buf_append_char(out, alphabet[bits >> 18 & 63]);
		sl_buf_append_char(out, alphabet[bits >> 12 & 63]);
		sl_buf_append_char(out, count % 3 == 2 ? alphabet[bits >> 6 & 63] : '=');
		sl_buf_append_char(out, '=');
	}
	sl_buf_append_char(out, reply->base64 ? '"' : ']');
}

static void
put_embeddings(const struct sl_mock_reply *reply, struct sl_buf *out)
{
	sl_buf_append_str(out, "{\"object\":\"list\",\"data\":[");
	for (int64_t i = 0; i < reply->inputs; i++) {
		sl_buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%" PRId64
		              ",\"embedding\":", i ? "," : "", i);
		put_vector(reply, i, out);
		sl_buf_append_char(out, '}');
	}
	sl_buf_append_str(out, "],\"model\":");
	sl_json_quote(out, sl_slice_str(reply->model));
	sl_buf_printf(out, ",\"usage\":{\"prompt_tokens\":%" PRId64 ",\"total_tokens\":%" PRId64
	              "}}", reply->input_tokens, reply->input_tokens);
}

static void
put_moderations(const struct sl_mock_reply *reply, struct sl_buf *out)
{
	sl_buf_printf(out, "{\"id\":\"modr-%s\",\"model\":", reply->id);
	sl_json_quote(out, sl_slice_str(reply->model));
	sl_buf_append_str(out, ",\"results\":[{\"flagged\":false,\"categories\":{\"violence\":"
	                       "false},\"category_scores\":{\"violence\":0.0001},"
	                       "\"category_applied_input_types\":{\"violence\":[\"text\"]}}]}");
}

/* --- Anthropic ------------------------------------------------------------ */

static void
put_message_head(const struct sl_mock_reply *reply, struct sl_buf *out)
{
	sl_buf_printf(out, "{\"id\":\"msg_%s\",\"type\":\"message\",\"role\":\"assistant\","
	              "\"model\":", reply->id);
	sl_json_quote(out, sl_slice_str(reply->model));
}

static void
put_message_usage(const struct sl_mock_reply *reply, int64_t output, struct sl_buf *out)
{
	sl_buf_printf(out, "\"usage\":{\"input_tokens\":%" PRId64
	              ",\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,"
	              "\"output_tokens\":%" PRId64 "}", reply->input_tokens, output);
}

static void
put_message_whole(const struct sl_mock_reply *reply, struct sl_buf *out)
{
	put_message_head(reply, out);
	sl_buf_append_str(out, ",\"content\":[{\"type\":\"text\",\"text\":\"");
	put_text(reply, out);
	sl_buf_append_str(out, "\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,");
	put_message_usage(reply, reply->output_tokens, out);
	sl_buf_append_char(out, '}');
}

static void
put_message_begin(const struct sl_mock_reply *reply, struct sl_buf *out)
{
	sl_buf_append_str(out, "event: message_start\ndata: {\"type\":\"message_start\","
	                       "\"message\":");
	put_message_head(reply, out);
	sl_buf_append_str(out, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,");
	put_message_usage(reply, 1, out);
	sl_buf_append_str(out, "}}\n\nevent: content_block_start\ndata: {\"type\":"
	                       "\"content_block_start\",\"index\":0,\"content_block\":{\"type\":"
	                       "\"text\",\"text\":\"\"}}\n\n");
}

static void
put_message_end(const struct sl_mock_reply *reply, struct sl_buf *out)
{
	sl_buf_printf(out,
	    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
	    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
	    "\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":%" PRId64 "}}\n\n"
	    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", reply->output_tokens);
}

/* --- Gemini --------------------------------------------------------------- */

/* piece -1: the whole text; last: with stop reason and usage. */
static void
put_gemini(const struct sl_mock_reply *reply, int64_t piece, bool last, struct sl_buf *out)
{
	sl_buf_append_str(out, "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":"
	                       "[{\"text\":\"");
	if (piece >= 0)
		put_piece_text(reply, (uint32_t)piece, out);
	else
		put_text(reply, out);
	sl_buf_append_str(out, "\"}]},\"index\":0");
	if (last)
		sl_buf_append_str(out, ",\"finishReason\":\"STOP\"");
	sl_buf_append_str(out, "}],");
	if (last)
		sl_buf_printf(out,
		    "\"usageMetadata\":{\"promptTokenCount\":%" PRId64
		    ",\"candidatesTokenCount\":%" PRId64 ",\"totalTokenCount\":%" PRId64 "},",
		    reply->input_tokens, reply->output_tokens,
		    reply->input_tokens + reply->output_tokens);
	sl_buf_append_str(out, "\"modelVersion\":");
	sl_json_quote(out, sl_slice_str(reply->model));
	sl_buf_printf(out, ",\"responseId\":\"%s\"}", reply->id);
}

static void
put_gemini_embed(const struct sl_mock_reply *reply, bool batch, struct sl_buf *out)
{
	sl_buf_append_str(out, batch ? "{\"embeddings\":[" : "{\"embedding\":");
	for (int64_t i = 0; i < (batch ? reply->inputs : 1); i++) {
		sl_buf_append_str(out, i ? ",{\"values\":" : "{\"values\":");
		put_vector(reply, i, out);
		sl_buf_append_char(out, '}');
	}
	sl_buf_append_str(out, batch ? "]}" : "}");
}

/* --- by kind -------------------------------------------------------------- */

void
sl_mock_put_whole(const struct sl_mock_reply *reply, struct sl_buf *out)
{
	switch (reply->kind) {
	case SL_MOCK_CHAT:
		put_chat_whole(reply, out);
		break;
	case SL_MOCK_COMPLETIONS:
		put_completion(reply, true, 0, out);
		break;
	case SL_MOCK_RESPONSES:
		put_response(reply, true, out);
		break;
	case SL_MOCK_EMBEDDINGS:
		put_embeddings(reply, out);
		break;
	case SL_MOCK_MODERATIONS:
		put_moderations(reply, out);
		break;
	case SL_MOCK_MESSAGES:
		put_message_whole(reply, out);
		break;
	case SL_MOCK_INPUT_TOKENS:
		sl_buf_printf(out, "{\"object\":\"response.input_tokens\",\"input_tokens\":%" PRId64
		              "}", reply->input_tokens);
		break;
	case SL_MOCK_COUNT_TOKENS:
		sl_buf_printf(out, "{\"input_tokens\":%" PRId64 "}", reply->input_tokens);
		break;
	case SL_MOCK_GEMINI:
		put_gemini(reply, -1, true, out);
		break;
	case SL_MOCK_GEMINI_COUNT:
		sl_buf_printf(out, "{\"totalTokens\":%" PRId64 "}", reply->input_tokens);
		break;
	case SL_MOCK_GEMINI_EMBED:
		put_gemini_embed(reply, false, out);
		break;
	case SL_MOCK_GEMINI_BATCH_EMBED:
		put_gemini_embed(reply, true, out);
		break;
	case SL_MOCK_UNKNOWN:
		break;
	}
}

void
sl_mock_put_begin(const struct sl_mock_reply *reply, struct sl_buf *out)
{
	if (reply->kind == SL_MOCK_CHAT)
		put_chat_chunk(reply, ",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","
		                      "\"content\":\"\"},\"finish_reason\":null}]", "", -1, out);
	else if (reply->kind == SL_MOCK_RESPONSES)
		put_responses_begin(reply, out);
	else if (reply->kind == SL_MOCK_MESSAGES)
		put_message_begin(reply, out);
	else if (reply->array_stream)
		sl_buf_append_char(out, '[');
}

void
sl_mock_put_piece(const struct sl_mock_reply *reply, uint32_t index, struct sl_buf *out)
{
	bool last = index + 1 == reply->options.chunks;

	switch (reply->kind) {
	case SL_MOCK_CHAT:
		put_chat_chunk(reply, ",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"",
		               "\"},\"finish_reason\":null}]", index, out);
		break;
	case SL_MOCK_COMPLETIONS:
		sl_buf_append_str(out, "data: ");
		put_completion(reply, false, index, out);
		sl_buf_append_str(out, "\n\n");
		break;
	case SL_MOCK_RESPONSES:
		begin_event("response.output_text.delta", 4 + index, out);
		sl_buf_printf(out, ",\"item_id\":\"msg_%s\",\"output_index\":0,"
		              "\"content_index\":0,\"logprobs\":[],\"delta\":\"", reply->id);
		put_piece_text(reply, index, out);
		sl_buf_append_str(out, "\"}\n\n");
		break;
	case SL_MOCK_MESSAGES:
		sl_buf_append_str(out, "event: content_block_delta\ndata: {\"type\":"
		                       "\"content_block_delta\",\"index\":0,\"delta\":{\"type\":"
		                       "\"text_delta\",\"text\":\"");
		put_piece_text(reply, index, out);
		sl_buf_append_str(out, "\"}}\n\n");
		break;
	case SL_MOCK_GEMINI:
		sl_buf_append_str(out, reply->array_stream ? (index ? ",\r\n" : "") : "data: ");
		put_gemini(reply, index, last, out);
		sl_buf_append_str(out, reply->array_stream ? "" : "\r\n\r\n");
		break;
	default:
		break;
	}
}

void
sl_mock_put_end(const struct sl_mock_reply *reply, struct sl_buf *out)
{
	if (reply->kind == SL_MOCK_CHAT) {
		put_chat_end(reply, out);
	} else if (reply->kind == SL_MOCK_COMPLETIONS) {
		sl_buf_append_str(out, "data: ");
		put_completion(reply, false, -1, out);
		sl_buf_append_str(out, "\n\ndata: [DONE]\n\n");
	} else if (reply->kind == SL_MOCK_RESPONSES) {
		put_responses_end(reply, out);
	} else if (reply->kind == SL_MOCK_MESSAGES) {
		put_message_end(reply, out);
	} else if (reply->array_stream) {
		sl_buf_append_char(out, ']');
	}
}

void
sl_mock_put_error(enum sl_mock_kind kind, int status, struct sl_buf *out)
{
	if (kind == SL_MOCK_MESSAGES || kind == SL_MOCK_COUNT_TOKENS)
		sl_buf_printf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":"
		              "\"simulated error %d\"}}",
		              status == 429 ? "rate_limit_error"
		                            : status == 529 ? "overloaded_error" : "api_error",
		              status);
	else if (is_gemini(kind))
		sl_buf_printf(out, "{\"error\":{\"code\":%d,\"message\":\"simulated error %d\","
		              "\"status\":\"%s\"}}", status, status,
		              status == 429 ? "RESOURCE_EXHAUSTED" : "UNAVAILABLE");
	else if (kind == SL_MOCK_UNKNOWN && status == 404)
		sl_buf_append_str(out, "{\"error\":{\"message\":\"The simulated provider does not "
		                  "answer this path: no pictures, speech or files.\",\"type\":"
		                  "\"not_found_error\",\"param\":null,\"code\":null}}");
	else
		sl_buf_printf(out, "{\"error\":{\"message\":\"simulated error %d\",\"type\":\"%s\","
		              "\"param\":null,\"code\":null}}", status,
		              status == 429 ? "rate_limit_exceeded" : "server_error");
}
