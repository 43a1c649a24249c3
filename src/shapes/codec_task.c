/* codec_task.c - counts and embeddings on the lane of conversations. */
#include "shapes/codec_task.h"

struct sl_json
sl_task_reply(struct sl_flow *flow, struct sl_slice body, struct sl_arena *arena)
{
	static const struct sl_json none = { .type = SL_JSON_NONE };
	struct sl_json reply, error;
	struct sl_fault fault;

	if (sl_json_validate(body, NULL, NULL) != SL_OK) {
		sl_fault_set(&fault, SL_FAULT_UPSTREAM_BROKEN,
		             SL_SLICE("The provider's answer is no JSON."));
		sl_flow_fail(flow, &fault);
		return none;
	}
	reply = sl_json_parse(body);
	error = sl_json_get(reply, "error");
	if (error.type <= SL_JSON_NULL)
		return reply;
	sl_codec_read_error_value(error, arena, &fault);
	sl_flow_fail(flow, &fault);
	return none;
}

void
sl_task_end(struct sl_flow *flow, int64_t input_tokens)
{
	struct sl_usage usage = { .source = SL_USAGE_REPORTED };

	if (input_tokens >= 0) {
		sl_usage_set(&usage, SL_USAGE_INPUT, input_tokens);
		sl_flow_usage(flow, &usage);
	}
	sl_flow_stop(flow, 0, SL_STOP_END, SL_TEXT_NONE);
	sl_flow_end(flow);
}

void
sl_task_read_count(struct sl_flow *flow, struct sl_slice body, const char *member,
                   struct sl_arena *arena)
{
	int64_t count;

	if (sl_json_i64(sl_json_get(sl_task_reply(flow, body, arena), member), &count))
		sl_task_end(flow, count);
	else
		sl_flow_end(flow);
}

enum sl_err
sl_task_put_request(struct sl_encode *encode, enum sl_err (*other)(struct sl_encode *encode),
                    const struct sl_slice *gone, size_t gone_count, struct sl_json_writer *w)
{
	struct sl_buf *out = encode->out, whole;
	enum sl_err err;

	sl_buf_init(&whole, out->max_size);
	encode->out = &whole;
	err = other(encode);
	encode->out = out;
	if (err == SL_OK && !whole.failed)
		for (struct sl_json_iter it = sl_json_iter(sl_json_parse(sl_buf_slice(&whole)));
		     sl_json_next(&it);) {
			if (gone_count && sl_codec_find(it.key, gone, gone_count) >= 0)
				continue;
			sl_json_key_slice(w, it.key);
			sl_json_put_raw(w, it.value.raw);
		}
	out->failed |= whole.failed;
	sl_buf_release(&whole);
	return err;
}

void
sl_task_add_text(struct sl_dialog *dialog, struct sl_slice literal, struct sl_where where)
{
	struct sl_turn *turn = dialog->turns_last;

	if (!turn)
		turn = sl_dialog_turn(dialog, SL_ROLE_USER, where);
	sl_turn_part(dialog, turn, SL_PART_OPAQUE, where)->raw = literal;
}

const struct sl_part *
sl_task_texts(const struct sl_dialog *dialog)
{
	const struct sl_part *part = dialog->turns ? dialog->turns->parts : NULL;

	return part && part->kind == SL_PART_OPAQUE ? part : NULL;
}

void
sl_task_tell_vector(struct sl_flow *flow, struct sl_slice raw)
{
	sl_flow_part(flow, 0, &(struct sl_part){ .kind = SL_PART_OPAQUE, .raw = raw });
}

void
sl_task_put_texts(struct sl_json_writer *w, const char *name, const struct sl_dialog *dialog)
{
	sl_json_key(w, name);
	sl_json_arr(w);
	for (const struct sl_part *part = sl_task_texts(dialog); part; part = part->next)
		sl_json_put_raw(w, part->raw);
	sl_json_arr_end(w);
}

/* The first row of a word counts; the last one stands for all others. */
static const struct {
	const char *gemini, *cohere;
	bool        exact;
} purposes[] = {
	{ "\"RETRIEVAL_DOCUMENT\"", "search_document", true },
	{ "\"RETRIEVAL_QUERY\"", "search_query", true },
	{ "\"CLASSIFICATION\"", "classification", true },
	{ "\"CLUSTERING\"", "clustering", true },
	{ "\"QUESTION_ANSWERING\"", "search_query", false },
	{ "\"FACT_VERIFICATION\"", "search_query", false },
	{ "\"CODE_RETRIEVAL_QUERY\"", "search_query", false },
	{ "", "search_document", false },
};
enum { PURPOSES = sizeof(purposes) / sizeof(purposes[0]) };

const char *
sl_task_cohere_purpose(struct sl_json task, bool *exact)
{
	size_t row = 0;

	while (row + 1 < PURPOSES && !sl_slice_is(task.raw, purposes[row].gemini))
		row++;
	*exact = purposes[row].exact;
	return purposes[row].cohere;
}

struct sl_slice
sl_task_gemini_purpose(struct sl_json input_type)
{
	for (size_t i = 0; i < PURPOSES && purposes[i].exact; i++)
		if (sl_json_is(input_type, purposes[i].cohere))
			return sl_slice_str(purposes[i].gemini);
	return SL_SLICE_NONE;
}

/* Vectors stand where their index says, whatever their order. */
void
sl_task_read_data(struct sl_flow *flow, struct sl_slice body, struct sl_arena *arena)
{
	struct sl_json reply = sl_task_reply(flow, body, arena);
	struct sl_json data = sl_json_get(reply, "data");
	struct sl_slice *vectors;
	size_t count = 0;
	int64_t spent;

	for (struct sl_json_iter it = sl_json_iter(data);
	     data.type == SL_JSON_ARRAY && sl_json_next(&it);)
		count++;
	vectors = count ? SL_ARENA_ARRAY(arena, struct sl_slice, count) : NULL;
	if (!vectors) {
		sl_flow_end(flow);
		return;
	}
	for (struct sl_json_iter it = sl_json_iter(data); sl_json_next(&it);) {
		int64_t index;

		if (!sl_json_i64(sl_json_get(it.value, "index"), &index) || index < 0 ||
		    (size_t)index >= count)
			index = (int64_t)it.index;
		vectors[index] = sl_json_get(it.value, "embedding").raw;
	}
	for (size_t i = 0; i < count; i++)
		sl_task_tell_vector(flow, vectors[i].len ? vectors[i] : SL_SLICE("[]"));
	if (!sl_json_i64(sl_json_at(reply, "usage.prompt_tokens"), &spent))
		spent = -1;
	sl_task_end(flow, spent);
}
