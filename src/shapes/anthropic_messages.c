/* anthropic_messages.c - POST /v1/messages.
 * https://docs.anthropic.com/en/api/messages
 *
 *   message_start (ping | block: start delta* stop)* message_delta+ message_stop
 *
 * Usage comes at message_start and again, cumulative, at message_delta; the
 * stream is finished by message_stop only. `event: error` may come at any point.
 */
#include "shapes/anthropic.h"
#include "shapes/anthropic_codec.h"
#include "shapes/prompt.h"

enum { MAX_TOKENS = SL_WANT_OWN, USER_ID, WANTS };

static const struct sl_json_want wants[WANTS] = {
	SL_WANTS_COMMON, { "max_tokens" }, { "metadata.user_id" },
};

static const struct sl_shape_path paths[] = {
	{ "/v1/messages", "messages" },
	{ NULL, NULL },
};

static bool
read_request(const struct sl_shape_input *input, struct sl_arena *arena, struct sl_steer *steer,
             struct sl_fault *fault)
{
	struct sl_reading reading = { wants, WANTS, steer, arena, fault };

	sl_steer_init(steer, input);
	if (!sl_steer_scan(&reading) || !sl_steer_common(&reading) ||
	    !sl_steer_limit(&reading, MAX_TOKENS, &steer->max_output_tokens))
		return false;
	if (steer->stream)
		steer->framing = SL_FRAMING_SSE;
	sl_steer_end_user(&reading, USER_ID);
	return true;
}

static void
note_stop(struct sl_json reason, struct sl_reply_facts *facts)
{
	if (sl_json_is(reason, "refusal"))
		facts->content_filter = true;
}

static void
read_reply(const struct sl_steer *steer, struct sl_slice body, struct sl_arena *arena,
           struct sl_reply_facts *facts)
{
	enum { MODEL, ERROR, USAGE, STOP_REASON, REPLY_WANTS };
	static const struct sl_json_want reply_wants[REPLY_WANTS] = {
		{ "model" }, { "error" }, { "usage" }, { "stop_reason" },
	};
	struct sl_json_found found[REPLY_WANTS];
	struct sl_json usage;

	(void)steer;
	if (!sl_reply_scan(body, reply_wants, REPLY_WANTS, found, arena, facts))
		return;
	sl_reply_model(facts, sl_reply_value(body, &found[MODEL]), arena);
	if (sl_reply_error(facts, sl_reply_value(body, &found[ERROR]), arena))
		return;
	usage = sl_reply_value(body, &found[USAGE]);
	if (usage.type == SL_JSON_OBJECT) {
		sl_anthropic_usage(usage, &facts->usage);
		facts->usage.source = SL_USAGE_REPORTED;
	}
	note_stop(sl_reply_value(body, &found[STOP_REASON]), facts);
	facts->content = true;
	facts->finished = true;
}

/* --- events ----------------------------------------------------------------- */

/* A start is content when the block is more than an empty place for text. */
static bool
block_has_content(struct sl_json block)
{
	if (sl_json_is(sl_json_get(block, "type"), "text"))
		return sl_reply_has(sl_json_get(block, "text"));
	if (sl_json_is(sl_json_get(block, "type"), "thinking"))
		return sl_reply_has(sl_json_get(block, "thinking"));
	return block.type == SL_JSON_OBJECT;
}

/* A piece of a block; a block of a whole reply is written the same way. */
static void
note_text(struct sl_json piece, struct sl_reply_facts *facts)
{
	static const char *const members[] = { "text", "partial_json", "thinking", "input" };

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		facts->text_bytes += (int64_t)sl_json_get(piece, members[i]).raw.len;
}

static void
note_usage(struct sl_reply_facts *facts, struct sl_json usage, enum sl_usage_source source)
{
	if (usage.type != SL_JSON_OBJECT)
		return;
	sl_anthropic_usage(usage, &facts->usage);
	facts->usage.source = source;
}

static enum sl_frame_verdict
read_frame(struct sl_stream_state *state, struct sl_slice event, struct sl_slice data,
           struct sl_arena *arena)
{
	enum { TYPE, ERROR, USAGE, MESSAGE, STOP_REASON, BLOCK, DELTA, FRAME_WANTS };
	static const struct sl_json_want frame_wants[FRAME_WANTS] = {
		{ "type" }, { "error" }, { "usage" }, { "message" }, { "delta.stop_reason" },
		{ "content_block" }, { "delta" },
	};
	struct sl_reply_facts *facts = &state->facts;
	struct sl_json_found found[FRAME_WANTS];
	struct sl_json type, message, reason;

	(void)event;
	if (data.len == 0)
		return SL_FRAME_PASS;
	state->frames++;
	if (!sl_reply_scan(data, frame_wants, FRAME_WANTS, found, arena, facts))
		return SL_FRAME_PASS;
	type = sl_reply_value(data, &found[TYPE]);
	if (sl_json_is(type, "content_block_delta")) {
		facts->content = true;
		note_text(sl_reply_value(data, &found[DELTA]), facts);
	} else if (sl_json_is(type, "content_block_start")) {
		if (block_has_content(sl_reply_value(data, &found[BLOCK])))
			facts->content = true;
	} else if (sl_json_is(type, "message_start")) {
		message = sl_reply_value(data, &found[MESSAGE]);
		sl_reply_model(facts, sl_json_get(message, "model"), arena);
		note_usage(facts, sl_json_get(message, "usage"), SL_USAGE_PARTIAL);
	} else if (sl_json_is(type, "message_delta")) {
		reason = sl_reply_value(data, &found[STOP_REASON]);
		note_stop(reason, facts);
		if (reason.type == SL_JSON_STRING)
			state->stop_seen = true;
		note_usage(facts, sl_reply_value(data, &found[USAGE]),
		           state->stop_seen ? SL_USAGE_REPORTED : SL_USAGE_PARTIAL);
	} else if (sl_json_is(type, "message_stop")) {
		facts->finished = !facts->failed;
		if (facts->usage.source == SL_USAGE_PARTIAL)
			facts->usage.source = SL_USAGE_REPORTED;
	}
	sl_reply_error(facts, sl_reply_value(data, &found[ERROR]), arena);
	return SL_FRAME_PASS;
}

const struct sl_shape_ops sl_shape_anthropic_messages = {
	.name = "anthropic_messages",
	.family = "anthropic",
	.operation = "chat",
	.paths = paths,
	.upstream_path = "/v1/messages",
	.codec = &sl_anthropic_codec,
	.read_request = read_request,
	.read_prompt = sl_prompt_read,
	.forward = sl_steer_forward,
	.read_reply = read_reply,
	.read_gist = sl_gist_anthropic,
	.read_frame = read_frame,
	.write_fault = sl_anthropic_write_fault,
	.write_stream_fault = sl_anthropic_write_stream_fault,
};
