/* frames.c - the readers of the three framings behind one face. */
#include "pipeline/frames.h"

bool
sl_frames_suit(enum sl_framing framing, struct sl_slice content_type)
{
	switch (framing) {
	case SL_FRAMING_SSE:
		return sl_slice_istarts(content_type, SL_SLICE("text/event-stream"));
	case SL_FRAMING_JSON_ARRAY:
		return sl_slice_istarts(content_type, SL_SLICE("application/json"));
	case SL_FRAMING_EVENTS:
		return sl_slice_istarts(content_type,
		                        SL_SLICE("application/vnd.amazon.eventstream"));
	case SL_FRAMING_WHOLE:
		break;
	}
	return false;
}

void
sl_frames_init(struct sl_frames *frames, enum sl_framing framing, size_t max_frame_size)
{
	frames->framing = framing;
	if (framing == SL_FRAMING_JSON_ARRAY)
		sl_json_array_init(&frames->array, max_frame_size);
	else if (framing == SL_FRAMING_EVENTS)
		sl_event_reader_init(&frames->events, max_frame_size);
	else
		sl_sse_reader_init(&frames->sse, max_frame_size);
}

void
sl_frames_release(struct sl_frames *frames)
{
	if (frames->framing == SL_FRAMING_JSON_ARRAY)
		sl_json_array_release(&frames->array);
	else if (frames->framing == SL_FRAMING_EVENTS)
		sl_event_reader_release(&frames->events);
	else if (frames->framing == SL_FRAMING_SSE)
		sl_sse_reader_release(&frames->sse);
	frames->framing = SL_FRAMING_WHOLE;
}

enum sl_err
sl_frames_read(struct sl_frames *frames, struct sl_slice *bytes, struct sl_sse_frame *frame)
{
	struct sl_json_array_item item = { 0 };
	struct sl_event_message message = { 0 };
	enum sl_err err;

	switch (frames->framing) {
	case SL_FRAMING_JSON_ARRAY:
		err = sl_json_array_read(&frames->array, bytes, &item);
		*frame = (struct sl_sse_frame){ .data = item.data, .raw = item.raw,
			                        .comment_only = item.data.len == 0 };
		return err;
	case SL_FRAMING_EVENTS:
		err = sl_event_read(&frames->events, bytes, &message);
		*frame = (struct sl_sse_frame){ .event = message.type, .data = message.payload,
			                        .raw = message.raw };
		return err;
	default:
		return sl_sse_read(&frames->sse, bytes, frame);
	}
}

enum sl_err
sl_frames_finish(struct sl_frames *frames, struct sl_sse_frame *frame, struct sl_slice *rest)
{
	enum sl_err err = SL_MORE;

	*rest = SL_SLICE_NONE;
	if (frames->framing == SL_FRAMING_EVENTS)
		return sl_event_pending(&frames->events) ? SL_ESYNTAX : SL_MORE;
	if (frames->framing == SL_FRAMING_SSE) {
		err = sl_sse_finish(&frames->sse, frame);
		/* The LF of a CRLF whose CR completed the last frame. */
		if (err != SL_OK)
			*rest = sl_buf_slice(&frames->sse.pending);
	}
	return err == SL_OK ? SL_OK : SL_MORE;
}

bool
sl_frames_closed(const struct sl_frames *frames)
{
	return frames->framing != SL_FRAMING_JSON_ARRAY || sl_json_array_closed(&frames->array);
}
