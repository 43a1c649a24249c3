/* translate_fuzz.c - a request and a reply, both arbitrary, between two shapes.
 *
 * The first two bytes choose the shapes, the third how the reply comes; a zero byte
 * parts the request from the reply. A request that is taken must leave as valid JSON;
 * an answer must be valid JSON, or a stream whose data are, whatever the provider
 * said.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "translate_harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A shape for callers, or one that can serve those of `from`. */
static const struct sl_shape_ops *
pick(uint8_t byte, const struct sl_shape_ops *from)
{
	for (size_t i = 0; i < sl_shape_count(); i++) {
		const struct sl_shape_ops *shape = sl_shape_at((byte + i) % sl_shape_count());

		if (from ? sl_codec_can(from, shape)
		         : shape->codec && shape->codec->decode_request)
			return shape;
	}
	abort();
}

static bool
is_json(struct sl_slice text)
{
	static const struct sl_json_limits limits = { .max_depth = 600, .max_members = 1 << 20 };

	return sl_json_validate(text, &limits, NULL) == SL_OK;
}

static void
check_stream(struct sl_slice bytes, enum sl_framing framing)
{
	struct sl_sse_reader reader;
	struct sl_sse_frame frame;

	if (framing != SL_FRAMING_SSE)
		return;
	sl_sse_reader_init(&reader, 1 << 26);
	while (sl_sse_read(&reader, &bytes, &frame) == SL_OK)
		if (frame.data.len && !sl_slice_is(frame.data, "[DONE]") && !is_json(frame.data))
			abort();
	sl_sse_reader_release(&reader);
}

static void
reply(struct crossing *c, uint8_t how, struct sl_slice bytes)
{
	crossing_begin_reply(c, "openai");
	if (how & 1 && c->from->codec->write_event && c->via->codec->read_frame)
		crossing_stream(c, bytes, (size_t)(how >> 1) + 1, 0);
	else
		crossing_whole(c, bytes);
	if (!c->flow.ended)
		abort();
	if (c->stream)
		check_stream(sl_buf_slice(&c->out), c->steer.framing);
	else if (c->out.len && !is_json(sl_buf_slice(&c->out)))
		abort();
	crossing_free_reply(c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *zero;
	const struct sl_shape_ops *from;
	struct sl_slice body, answer;
	struct crossing c;

	if (size < 4)
		return 0;
	zero = memchr(data + 3, 0, size - 3);
	body = sl_slice_make(data + 3, zero ? (size_t)(zero - data - 3) : size - 3);
	answer = zero ? sl_slice_make(zero + 1, size - (size_t)(zero + 1 - data)) : SL_SLICE_NONE;
	from = pick(data[0], NULL);
	crossing_init(&c, from, pick(data[1], from));
	{
		const struct sl_shape_input input = { .verb = data[2] & 1 ? "streamGenerateContent"
			                                                  : "generateContent",
			                              .path_model = SL_SLICE("m"),
			                              .query = SL_SLICE("alt=sse"), .body = body };
		const struct crossing_target target = {
			.provider = data[2] & 2 ? "openai" : "vllm",
			.model = data[2] & 4 ? SL_SLICE("claude-sonnet-4-5") : SL_SLICE("gpt-5"),
			.most = 1000, .capabilities = SL_CAP_REASONING,
		};

		if (crossing_request(&c, &input, &target)) {
			if (!is_json(sl_buf_slice(&c.sent)))
				abort();
			reply(&c, data[2] >> 3, answer);
		}
	}
	crossing_release(&c);
	return 0;
}
