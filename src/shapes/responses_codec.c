/* responses_codec.c - Responses as a codec: what it can and where it is strict. */
#include "shapes/responses_codec.h"

static const struct sl_id_rule target_ids = { "_-", 64, 0 };
static const struct sl_name_rule target_names = { "_-", 64, false };

const struct sl_codec_ops sl_responses_codec = {
	.decode_request = sl_responses_decode,
	.write_whole = sl_responses_write_whole,
	.writer_size = sizeof(struct sl_responses_writer),
	.write_event = sl_responses_write_event,
	.writer_release = sl_responses_writer_release,
	.id_carries = true,
	.keeps_request = true,
	.encode_request = sl_responses_encode,
	.read_whole = sl_responses_read_whole,
	.reader_size = sizeof(struct sl_responses_reader),
	.read_frame = sl_responses_read_frame,
	.read_end = sl_responses_read_end,
	.stream_framing = SL_FRAMING_SSE,
	.target_ids = &target_ids,
	.target_names = &target_names,
	.issuer = "openai",
};
