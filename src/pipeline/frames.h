/* frames.h - a provider's stream cut into frames, however it is framed. */
#ifndef SL_PIPELINE_FRAMES_H
#define SL_PIPELINE_FRAMES_H

#include "base/eventstream.h"
#include "base/json_array.h"
#include "base/sse.h"
#include "shapes/shape.h"

/* Zero-initialised: none. Members are private. */
struct sl_frames {
	enum sl_framing framing; /* SL_FRAMING_WHOLE: none */
	union {
		struct sl_sse_reader        sse;
		struct sl_json_array_reader array;
		struct sl_event_reader      events;
	};
};

/* Whether a reply of this content type is framed so. */
bool sl_frames_suit(enum sl_framing framing, struct sl_slice content_type);
/* max_frame_size in bytes. */
void sl_frames_init(struct sl_frames *frames, enum sl_framing framing, size_t max_frame_size);
void sl_frames_release(struct sl_frames *frames);
/* As sl_sse_read. Of an event stream, `event` is the event's or the exception's
 * type and `data` its payload. */
enum sl_err sl_frames_read(struct sl_frames *frames, struct sl_slice *bytes,
                           struct sl_sse_frame *frame);
/* At the end of the bytes. SL_OK: *frame is a last one. SL_MORE: there is none, and
 * *rest, which may be empty, is only to be passed on. SL_ESYNTAX: the stream ended
 * inside a frame. */
enum sl_err sl_frames_finish(struct sl_frames *frames, struct sl_sse_frame *frame,
                             struct sl_slice *rest);
/* Whether the framing itself says that the stream is complete, as far as it can. */
bool sl_frames_closed(const struct sl_frames *frames);

#endif
