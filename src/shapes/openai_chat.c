/* openai_chat.c - POST /v1/chat/completions.
 * https://platform.openai.com/docs/api-reference/chat
 */
#include "base/compiler.h"
#include "model/notes.h"
#include "shapes/openai.h"
#include "shapes/openai_chat_codec.h"
#include "shapes/prompt.h"

#include <string.h>

enum {
	STREAM_OPTIONS = SL_WANT_OWN,
	INCLUDE_USAGE,
	MAX_TOKENS,
	MAX_COMPLETION_TOKENS,
	CHOICES,
	SAFETY_IDENTIFIER,
	USER,
	WANTS,
};
_Static_assert((int)WANTS <= (int)SL_SHAPE_WANTS_MAX, "the steer has room for every want");

static const struct sl_json_want wants[WANTS] = {
	SL_WANTS_COMMON,
	{ "stream_options" },
	{ "stream_options.include_usage" },
	{ "max_tokens" },
	{ "max_completion_tokens" },
	{ "n" },
	{ "safety_identifier" },
	{ "user" },
};
static const struct sl_openai_stream_wants stream_wants = { STREAM_OPTIONS, INCLUDE_USAGE,
	                                                        "max_completion_tokens" };

static const struct sl_shape_path paths[] = { SL_OPENAI_PATHS("/chat/completions", "chat") };

static bool
read_request(const struct sl_shape_input *input, struct sl_arena *arena, struct sl_steer *steer,
             struct sl_fault *fault)
{
	struct sl_reading reading = { wants, WANTS, steer, arena, fault };

	sl_steer_init(steer, input);
	/* max_completion_tokens comes later and so wins over its old name. */
	if (!sl_steer_scan(&reading) || !sl_steer_common(&reading) ||
	    !sl_openai_read_stream(&reading, &stream_wants) ||
	    !sl_steer_limit(&reading, MAX_TOKENS, &steer->max_output_tokens) ||
	    !sl_steer_limit(&reading, MAX_COMPLETION_TOKENS, &steer->max_output_tokens) ||
	    !sl_steer_choices(&reading, CHOICES, &steer->choices))
		return false;
	sl_steer_end_user(&reading, SAFETY_IDENTIFIER);
	sl_steer_end_user(&reading, USER);
	return true;
}

/* The role of a message, in a copy of the body: "system" is shorter, and white space
 * behind it keeps every other byte where it is. */
static void
rename_role(struct sl_json message, struct sl_slice body, char *copy)
{
	static const char written[] = "\"system\"   ";

	for (struct sl_json_iter it = sl_json_iter(message); sl_json_next(&it);)
		if (sl_slice_is(it.key, "role") && sl_slice_is(it.value.raw, "\"developer\""))
			memcpy(copy + (it.value.raw.ptr - body.ptr), written, sizeof(written) - 1);
}

static void
note_role(struct sl_notes *notes, size_t index, struct sl_arena *arena)
{
	struct sl_where *steps = SL_ARENA_ARRAY(arena, struct sl_where, 3);

	if (!steps)
		return;
	steps[0] = sl_where_member(NULL, SL_SLICE("messages"));
	steps[1] = sl_where_element(&steps[0], index);
	steps[2] = sl_where_member(&steps[1], SL_SLICE("role"));
	sl_note(notes, SL_NOTE_role_changed, &steps[2]);
}

/* The body for vendors without a role `developer`; NULL: as it is, or no memory. */
static char *
without_developer(struct sl_slice body, struct sl_arena *arena, struct sl_slice *changes)
{
	struct sl_json messages = sl_json_get(sl_json_parse(body), "messages");
	struct sl_notes notes = { 0 };
	char *copy = NULL;

	for (struct sl_json_iter it = sl_json_iter(messages);
	     messages.type == SL_JSON_ARRAY && sl_json_next(&it);) {
		if (!sl_json_is(sl_json_get(it.value, "role"), "developer"))
			continue;
		if (!copy)
			copy = sl_arena_strdup(arena, body);
		if (!copy)
			return NULL;
		rename_role(it.value, body, copy);
		note_role(&notes, it.index, arena);
	}
	*changes = sl_notes_print(&notes, arena);
	return copy;
}

static enum sl_err
forward(const struct sl_steer *steer, const struct sl_shape_target *target,
        struct sl_arena *arena, struct sl_forward *out)
{
	struct sl_slice body = steer->input.body, changes = SL_SLICE_NONE;
	SL_UNINIT struct sl_steer renamed; /* written whole before it is read */
	enum sl_err err;
	char *copy = NULL;

	if (target->no_developer && sl_slice_search(body, SL_SLICE("\"developer\"")) >= 0)
		copy = without_developer(body, arena, &changes);
	if (copy) {
		renamed = *steer;
		renamed.input.body = sl_slice_make(copy, body.len);
		steer = &renamed;
	}
	err = sl_openai_forward_chunks(steer, target, &stream_wants, arena, out);
	out->changes = changes;
	return err;
}

const struct sl_shape_ops sl_shape_openai_chat = {
	.name = "openai_chat",
	.family = "openai",
	.operation = "chat",
	.paths = paths,
	.upstream_path = "/chat/completions",
	.codec = &sl_openai_chat_codec,
	.takes_limit = true,
	.read_request = read_request,
	.read_prompt = sl_prompt_read,
	.forward = forward,
	.read_reply = sl_openai_read_reply,
	.read_gist = sl_gist_openai_chat,
	.read_frame = sl_openai_read_chunk,
	.end_stream = sl_openai_end_chunks,
	.write_fault = sl_openai_write_fault,
	.write_stream_fault = sl_openai_write_stream_fault,
};
