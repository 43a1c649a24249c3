/* gemini_codec.c - generateContent as a codec: what it can and where it is strict. */
#include "shapes/gemini_codec.h"

static const struct sl_name_rule target_names = { "_.:-", 128, true };

const struct sl_codec_ops sl_gemini_codec = {
	.decode_request = sl_gemini_decode,
	.write_whole = sl_gemini_write_whole,
	.writer_size = sizeof(struct sl_gemini_writer),
	.write_event = sl_gemini_write_event,
	.writer_release = sl_gemini_writer_release,
	.encode_request = sl_gemini_encode,
	.read_whole = sl_gemini_read_whole,
	.reader_size = sizeof(struct sl_gemini_reader),
	.read_frame = sl_gemini_read_frame,
	.read_end = sl_gemini_read_end,
	.reader_release = sl_gemini_reader_release,
	.verb = "generateContent",
	.verb_stream = "streamGenerateContent",
	.query_stream = "alt=sse",
	.stream_framing = SL_FRAMING_SSE,
	.target_names = &target_names,
	.no_urls = 1u << SL_PART_IMAGE | 1u << SL_PART_AUDIO | 1u << SL_PART_VIDEO |
	           1u << SL_PART_DOCUMENT,
	.knows_url = sl_gemini_knows_url,
	.issuer = "gemini",
};
