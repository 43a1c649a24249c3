/* mistral_embed.c - Mistral's POST /v1/embeddings. https://docs.mistral.ai/api/endpoint/embeddings
 *
 * For providers only. The grammar is OpenAI's but for the name of the dimensions, and
 * members that it does not know are refused (422): OpenAI's `user` is one.
 */
#include "shapes/codec_task.h"

static enum sl_err
encode(struct sl_encode *e)
{
	struct sl_json_writer w;

	sl_json_writer_init(&w, e->out);
	sl_json_obj(&w);
	sl_json_str(&w, "model", e->target->model);
	sl_task_put_texts(&w, "input", e->dialog);
	sl_json_str(&w, "encoding_format", SL_SLICE("float"));
	sl_encode_param(e, &w, SL_PARAM_DIMENSIONS, "output_dimension");
	/* What OpenAI's API does not know may be this one's own: output_dtype, metadata. */
	if (strcmp(e->dialog->origin, sl_shape_openai_embeddings.name) == 0)
		sl_encode_extras(e, &w);
	sl_json_obj_end(&w);
	return SL_OK;
}

static const struct sl_codec_ops codec = {
	.task = SL_CODEC_EMBED,
	.encode_request = encode,
	.read_whole = sl_task_read_data,
};

static const struct sl_shape_path paths[] = { { NULL, NULL } };

const struct sl_shape_ops sl_shape_mistral_embed = {
	.name = "mistral_embed",
	.family = "openai",
	.operation = "embeddings",
	.paths = paths,
	.upstream_path = "/embeddings",
	.codec = &codec,
};
