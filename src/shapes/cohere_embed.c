/* cohere_embed.c - Cohere's POST /v2/embed. https://docs.cohere.com/reference/embed
 *
 * For providers only. The API insists on knowing what the vectors are for; where the
 * caller did not say, it is documents that are to be searched, which is noted.
 */
#include "shapes/codec_task.h"

enum { TEXTS_MAX = 96 }; /* in one request */

static void
put_purpose(struct sl_encode *e, struct sl_json_writer *w)
{
	struct sl_json asked = sl_encode_takes(e, SL_PARAM_EMBEDDING_TASK);
	bool exact = false;
	const char *word = sl_task_cohere_purpose(asked, &exact);

	if (!exact)
		sl_note(e->notes, SL_NOTE_embedding_task_changed,
		        asked.type == SL_JSON_NONE
		            ? NULL
		            : &e->dialog->params[SL_PARAM_EMBEDDING_TASK].where);
	sl_json_str(w, "input_type", sl_slice_str(word));
}

static enum sl_err
encode(struct sl_encode *e)
{
	const struct sl_part *part = sl_task_texts(e->dialog);
	struct sl_json_writer w;

	for (size_t count = 0; part; part = part->next)
		if (count++ == TEXTS_MAX)
			return sl_encode_refuse(e, &part->where,
			                        "its API takes 96 texts in one request.");
	sl_json_writer_init(&w, e->out);
	sl_json_obj(&w);
	sl_json_str(&w, "model", e->target->model);
	sl_task_put_texts(&w, "texts", e->dialog);
	put_purpose(e, &w);
	sl_json_key(&w, "embedding_types");
	sl_json_put_raw(&w, SL_SLICE("[\"float\"]"));
	sl_encode_param(e, &w, SL_PARAM_DIMENSIONS, "output_dimension");
	sl_json_obj_end(&w);
	return SL_OK;
}

/* {"embeddings": {"float": [[...]]}}, in the order of the texts. */
static void
read_whole(struct sl_flow *flow, struct sl_slice body, struct sl_arena *arena)
{
	struct sl_json reply = sl_task_reply(flow, body, arena);
	struct sl_json list = sl_json_at(reply, "embeddings.float");
	int64_t spent;

	if (list.type != SL_JSON_ARRAY) {
		sl_flow_end(flow);
		return;
	}
	for (struct sl_json_iter it = sl_json_iter(list); sl_json_next(&it);)
		sl_task_tell_vector(flow, it.value.raw);
	if (!sl_json_i64(sl_json_at(reply, "meta.billed_units.input_tokens"), &spent))
		spent = -1;
	sl_task_end(flow, spent);
}

static const struct sl_codec_ops codec = {
	.task = SL_CODEC_EMBED,
	.encode_request = encode,
	.read_whole = read_whole,
};

static const struct sl_shape_path paths[] = { { NULL, NULL } };

const struct sl_shape_ops sl_shape_cohere_embed = {
	.name = "cohere_embed",
	.family = "cohere",
	.operation = "embeddings",
	.paths = paths,
	.upstream_path = "/v2/embed",
	.codec = &codec,
};
