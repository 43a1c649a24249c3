/* shape_fuzz.c - a caller's request and a provider's answer, both arbitrary.
 *
 * The first byte chooses the shape, the second how, the rest is the text: once
 * as a request body, which when it is taken must be forwarded as valid JSON with
 * the target's model; once as a whole reply; once as frames.
 */
#include <stdint.h>
#include <stdlib.h>

#include "shapes/shape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_MAX = 1 << 24, OUT_MAX = 1 << 24 };

static void
forward(const struct sl_shape_ops *shape, const struct sl_steer *steer, uint8_t how,
        struct sl_arena *arena)
{
	const struct sl_shape_target target = {
		.model = SL_SLICE("t/\"x"), .ask_for_usage = how & 1, .model_in_path = how & 2,
	};
	struct sl_forward forward;
	struct sl_shape_input again = steer->input;
	struct sl_steer second;
	struct sl_fault fault;
	struct sl_buf out;

	if (shape->forward(steer, &target, arena, &forward) != SL_OK)
		return;
	sl_buf_init(&out, OUT_MAX);
	for (size_t i = 0; i < forward.body_count; i++)
		sl_buf_append(&out, forward.body[i]);
	again.body = sl_buf_slice(&out);
	if (!shape->read_request(&again, arena, &second, &fault))
		abort();
	if (second.stream != steer->stream)
		abort();
	if (again.path_model.len == 0 && second.model.len && steer->model.len &&
	    !sl_slice_eq(second.model, target.model))
		abort();
	sl_buf_release(&out);
}

static void
fault_out(const struct sl_shape_ops *shape, const struct sl_stream_state *state,
          struct sl_slice text)
{
	struct sl_fault fault;
	struct sl_buf out;

	sl_fault_set(&fault, SL_FAULT_UPSTREAM_CUT, text);
	fault.param = text;
	sl_buf_init(&out, OUT_MAX);
	shape->write_fault(&fault, text, &out);
	if (sl_json_validate(sl_buf_slice(&out), NULL, NULL) != SL_OK)
		abort();
	shape->write_stream_fault(state, &fault, text, SL_FRAMING_SSE, &out);
	sl_buf_release(&out);
}

static void
read_frames(const struct sl_shape_ops *shape, struct sl_slice text, struct sl_arena *arena)
{
	struct sl_stream_state state = { .hide_usage = true };
	struct sl_slice rest = text;

	while (shape->read_frame && rest.len)
		shape->read_frame(&state, SL_SLICE_NONE, sl_slice_cut(&rest, '\n'), arena);
	if (shape->end_stream)
		shape->end_stream(&state);
	if (state.facts.finished && state.facts.failed && !shape->end_stream)
		return; /* an error behind the end: both were seen */
	fault_out(shape, &state, sl_slice_upto(text, 300));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sl_shape_input input = {
		.verb = "streamGenerateContent",
		.content_type = SL_SLICE("multipart/form-data; boundary=b"),
	};
	struct sl_reply_facts facts = { 0 };
	const struct sl_shape_ops *shape;
	struct sl_fault fault;
	struct sl_steer steer;
	struct sl_arena arena;

	if (size < 2)
		return 0;
	shape = sl_shape_at(data[0] % sl_shape_count());
	if (!shape->paths->pattern)
		return 0;
	input.body = sl_slice_make(data + 2, size - 2);
	if (data[1] & 4)
		input.path_model = SL_SLICE("old");
	sl_arena_init(&arena, 1024, ARENA_MAX);
	if (shape->read_request(&input, &arena, &steer, &fault)) {
		forward(shape, &steer, data[1], &arena);
		shape->read_reply(&steer, input.body, &arena, &facts);
	} else if (fault.message.len == 0) {
		abort();
	}
	read_frames(shape, input.body, &arena);
	sl_arena_release(&arena);
	return 0;
}
