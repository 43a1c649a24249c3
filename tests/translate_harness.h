/* translate_harness.h - a request and its reply between two shapes, without a
 * gateway: what the lane of the pipeline does, for vectors and fuzzing. */
#ifndef SL_TESTS_TRANSLATE_HARNESS_H
#define SL_TESTS_TRANSLATE_HARNESS_H

#include <stdlib.h>

#include "base/eventstream.h"
#include "base/json_array.h"
#include "base/sse.h"
#include "shapes/codec.h"

enum { CROSSING_OUT_MAX = 1 << 26 };

static const struct sl_sealer crossing_sealer = { "a key that only tests have, 32 b" };

struct crossing {
	const struct sl_shape_ops *from, *via;
	struct sl_arena        arena;
	struct sl_steer        steer;
	struct sl_dialog       dialog;
	struct sl_notes        notes;
	struct sl_fault        fault;
	struct sl_tool_names   names;
	struct sl_buf          sent;   /* the request for the provider */
	/* The reply. */
	struct sl_flow         flow;
	struct sl_fold         fold;
	struct sl_codec_caller caller;
	void                  *reader, *writer;
	struct sl_buf          out;
	bool                   stream;
};

struct crossing_target {
	const char     *provider;
	struct sl_slice model;
	int64_t         most; /* output tokens of the model, 0: unknown */
	uint32_t        capabilities;
	bool            model_in_path;
};

static inline void
crossing_init(struct crossing *c, const struct sl_shape_ops *from, const struct sl_shape_ops *via)
{
	*c = (struct crossing){ .from = from, .via = via };
	sl_arena_init(&c->arena, 4096, 0);
	sl_buf_init(&c->sent, CROSSING_OUT_MAX);
	sl_buf_init(&c->out, CROSSING_OUT_MAX);
}

/* Everything but the request: what a reply needs may begin anew. */
static inline void
crossing_end_reply(struct crossing *c)
{
	if (c->reader && c->via->codec->reader_release)
		c->via->codec->reader_release(c->reader);
	if (c->writer && c->from->codec->writer_release)
		c->from->codec->writer_release(c->writer);
	c->reader = c->writer = NULL;
	sl_flow_release(&c->flow);
	sl_fold_release(&c->fold);
	sl_buf_release(&c->out);
}

static inline void
crossing_release(struct crossing *c)
{
	crossing_end_reply(c);
	sl_buf_release(&c->sent);
	sl_arena_release(&c->arena);
}

/* False: refused, with c->fault. */
static inline bool
crossing_request(struct crossing *c, const struct sl_shape_input *input,
                 const struct crossing_target *where)
{
	const struct sl_model_card card = { .max_output_tokens = where->most,
		                            .capabilities = where->capabilities };
	const struct sl_codec_ops *codec = c->via->codec;
	const struct sl_codec_target target = {
		.provider = where->provider,
		.model = where->model,
		.card = where->most || where->capabilities ? &card : NULL,
		.rules = sl_model_rules(where->model),
		.model_in_path = where->model_in_path,
		.ask_for_usage = true,
		.issuer = codec->issuer ? codec->issuer : where->provider,
	};
	struct sl_encode encode = { .dialog = &c->dialog, .target = &target, .codec = codec,
		                    .notes = &c->notes, .fault = &c->fault, .arena = &c->arena,
		                    .out = &c->sent };
	struct sl_codec_input in = { &c->steer.input, &crossing_sealer, &c->notes };

	if (!c->from->read_request(input, &c->arena, &c->steer, &c->fault))
		return false;
	c->dialog.arena = &c->arena;
	if (!c->from->codec->decode_request(&in, &c->dialog, &c->fault))
		return false;
	c->dialog.stream = c->stream = c->steer.stream;
	if (!sl_dialog_settle(&c->dialog, &c->notes) ||
	    !sl_tool_names_make(&c->names, &c->dialog, codec->target_names, &c->notes, &c->arena))
		return false;
	if (codec->encode_request(&encode) != SL_OK || sl_encode_leftovers(&encode) != SL_OK)
		return false;
	return !c->sent.failed;
}

static inline void
crossing_event(void *context, const struct sl_event *event)
{
	struct crossing *c = context;

	if (c->stream)
		c->from->codec->write_event(c->writer, &c->caller, event, &c->out);
	else
		sl_fold_event(&c->fold, event);
}

static inline void
crossing_begin_reply(struct crossing *c, const char *provider)
{
	const struct sl_codec_ops *from = c->from->codec, *codec = c->via->codec;
	const struct sl_flow_setup setup = {
		.sink = { crossing_event, c },
		.arena = &c->arena,
		.names = &c->names,
		.call_ids = from->caller_ids,
		.sealer = &crossing_sealer,
		.issuer = sl_slice_str(codec->issuer ? codec->issuer : provider),
		.sealed = c->from != c->via,
		.id_carries = from->id_carries,
		.seed = 1,
	};

	c->caller = (struct sl_codec_caller){
		.arena = &c->arena,
		.request_id = SL_SLICE("req_1"),
		.wants_usage = c->steer.wants_usage,
		.framing = c->steer.framing,
		.now_s = 1700000000,
		.model = SL_SLICE("model-asked-for"),
		.echo = from->keeps_request ? c->steer.input.body : SL_SLICE_NONE,
		.notes = &c->notes,
	};
	c->reader = calloc(1, codec->reader_size + 1);
	c->writer = calloc(1, from->writer_size + 1);
	sl_arena_alloc(&c->arena, 1);
	sl_buf_init(&c->out, CROSSING_OUT_MAX);
	sl_fold_init(&c->fold, &c->arena, true);
	sl_flow_init(&c->flow, &setup);
}

static inline void
crossing_free_reply(struct crossing *c)
{
	void *reader = c->reader, *writer = c->writer;

	crossing_end_reply(c);
	free(reader);
	free(writer);
}

/* Where the caller did not ask for a stream: the answer as one document. */
static inline void
crossing_write_whole(struct crossing *c)
{
	if (c->stream)
		return;
	if (c->fold.failed)
		c->from->write_fault(&c->fold.fault, c->caller.request_id, &c->out);
	else if (c->fold.done)
		c->from->codec->write_whole(&c->fold.answer, &c->caller, &c->out);
}

static inline void
crossing_whole(struct crossing *c, struct sl_slice body)
{
	struct sl_json_error at = { 0 };
	struct sl_fault fault;

	if (sl_json_scan(body, NULL, NULL, 0, NULL, NULL, &at) == SL_OK) {
		c->via->codec->read_whole(&c->flow, body, &c->arena);
	} else {
		sl_fault_set(&fault, SL_FAULT_UPSTREAM_BROKEN,
		             sl_arena_printf(&c->arena, "not a JSON object: %s (byte %zu).",
		                             at.reason ? at.reason : "empty", at.offset));
		sl_flow_fail(&c->flow, &fault);
	}
	if (!c->flow.ended)
		sl_flow_end(&c->flow);
	crossing_write_whole(c);
}

/* The stream, cut into pieces: of `size` bytes, or in two at `split`. */
static inline void
crossing_stream(struct crossing *c, struct sl_slice bytes, size_t size, size_t split)
{
	struct sl_sse_reader sse;
	struct sl_json_array_reader array;
	struct sl_event_reader events;
	enum sl_framing framing = c->via->codec->stream_framing;
	enum sl_err err = SL_MORE;
	struct sl_sse_frame frame = { .raw = SL_SLICE_NONE };

	c->fold.borrow = false; /* frames do not stay */
	sl_sse_reader_init(&sse, 1 << 20);
	sl_json_array_init(&array, 1 << 20);
	sl_event_reader_init(&events, 1 << 20);
	for (size_t at = 0; at < bytes.len && err == SL_MORE;) {
		size_t len = split ? (at < split ? split : bytes.len - at) : size;
		struct sl_slice piece = sl_slice_upto(sl_slice_from(bytes, at), len);

		at += piece.len;
		for (;;) {
			struct sl_json_array_item item = { .data = SL_SLICE_NONE };
			struct sl_event_message message = { .type = SL_SLICE_NONE };

			if (framing == SL_FRAMING_JSON_ARRAY) {
				err = sl_json_array_read(&array, &piece, &item);
				frame = (struct sl_sse_frame){ .data = item.data,
					                       .comment_only = !item.data.len };
			} else if (framing == SL_FRAMING_EVENTS) {
				err = sl_event_read(&events, &piece, &message);
				frame = (struct sl_sse_frame){ .event = message.type,
					                       .data = message.payload };
			} else {
				err = sl_sse_read(&sse, &piece, &frame);
			}
			if (err != SL_OK)
				break;
			if (!frame.comment_only)
				c->via->codec->read_frame(c->reader, &c->flow, frame.event,
				                          frame.data, &c->arena);
		}
	}
	if (framing == SL_FRAMING_SSE && sl_sse_finish(&sse, &frame) == SL_OK &&
	    !frame.comment_only)
		c->via->codec->read_frame(c->reader, &c->flow, frame.event, frame.data, &c->arena);
	c->via->codec->read_end(c->reader, &c->flow, &c->arena);
	sl_sse_reader_release(&sse);
	sl_json_array_release(&array);
	sl_event_reader_release(&events);
}

#endif
