/* stream.h - reads one chunked event stream and checks every event in it.
 *
 * Chunk boundaries are the proxy's affair and may differ from the upstream's;
 * events must arrive as they were sent: each one whole, once, in order. An
 * event's lag is the time from its stamp to the read that completed it.
 */
#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

#include <stdbool.h>

#include "bench.h"
#include "histogram.h"

enum stream_state { STREAM_GOES_ON, STREAM_ENDED, STREAM_BROKEN };

struct stream {
	enum { IN_SIZE, IN_DATA, IN_DATA_END, IN_TRAILER } where;
	size_t      chunk_left;
	size_t      event_bytes;
	uint32_t    next_event;
	bool        at_end;        /* the text behind the last event has begun */
	size_t      text_len;
	const char *problem;       /* of STREAM_BROKEN */
	size_t      line_len;      /* of the trailer line being read */
	char        text[1024];    /* the event so far */
};

static inline void
stream_init(struct stream *stream, size_t event_bytes)
{
	memset(stream, 0, offsetof(struct stream, text));
	stream->event_bytes = event_bytes;
}

static inline bool
stream_fail(struct stream *stream, const char *problem)
{
	stream->problem = problem;
	return false;
}

static inline bool
stream_check_event(struct stream *stream, struct histogram *lag, uint64_t now_ns)
{
	const size_t head = sizeof(EVENT_HEAD) - 1;
	char expected[EVENT_MAX], stamp[STAMP_LEN + 1];
	unsigned long long sent_ns;
	unsigned number;

	memcpy(stamp, stream->text + head, STAMP_LEN);
	stamp[STAMP_LEN] = '\0';
	event_template(expected, stream->event_bytes);
	memcpy(expected + head, stamp, STAMP_LEN);
	if (memcmp(stream->text, expected, stream->event_bytes) != 0 ||
	    sscanf(stamp, "t=%16llx n=%8x", &sent_ns, &number) != 2)
		return stream_fail(stream, "event changed");
	if (number != stream->next_event)
		return stream_fail(stream, number > stream->next_event ? "event lost"
		                                                       : "event repeated");
	stream->next_event++;
	if (lag)
		histogram_add(lag, now_ns > sent_ns ? now_ns - sent_ns : 0);
	return true;
}

/* Body bytes: events of known size until the first that is not one, then the
 * known end. */
static inline bool
stream_take_text(struct stream *stream, const char *bytes, size_t len, struct histogram *lag,
                 uint64_t now_ns)
{
	static const char end[] = EVENT_END;

	while (len > 0) {
		size_t whole, took;

		if (stream->text_len == sizeof(EVENT_HEAD) - 1 && !stream->at_end)
			stream->at_end = memcmp(stream->text, EVENT_HEAD, stream->text_len) != 0;
		whole = stream->at_end ? sizeof(end) - 1
		        : stream->text_len < sizeof(EVENT_HEAD) - 1 ? sizeof(EVENT_HEAD) - 1
		                                                    : stream->event_bytes;
		took = whole - stream->text_len < len ? whole - stream->text_len : len;
		memcpy(stream->text + stream->text_len, bytes, took);
		stream->text_len += took;
		bytes += took;
		len -= took;
		if (took == 0)
			return stream_fail(stream, "bytes after the end");
		if (stream->at_end || stream->text_len < stream->event_bytes)
			continue;
		if (!stream_check_event(stream, lag, now_ns))
			return false;
		stream->text_len = 0;
	}
	return true;
}

static inline bool
stream_is_complete(struct stream *stream)
{
	static const char end[] = EVENT_END;

	if (stream->at_end && stream->text_len == sizeof(end) - 1 &&
	    memcmp(stream->text, end, sizeof(end) - 1) == 0)
		return true;
	return stream_fail(stream, "end lost");
}

static inline enum stream_state
stream_take(struct stream *stream, const char *bytes, size_t len, struct histogram *lag)
{
	uint64_t now_ns = sl_clock_mono_ns();

	while (len > 0) {
		size_t took;
		char c = *bytes;

		switch (stream->where) {
		case IN_SIZE:
			bytes++, len--;
			if (c >= '0' && c <= '9')
				stream->chunk_left = stream->chunk_left * 16 + (size_t)(c - '0');
			else if ((c | 32) >= 'a' && (c | 32) <= 'f')
				stream->chunk_left = stream->chunk_left * 16 + (size_t)((c | 32) - 'a') + 10;
			else if (c == '\n')
				stream->where = stream->chunk_left ? IN_DATA : IN_TRAILER;
			else if (c != '\r')
				return stream_fail(stream, "bad chunk size"), STREAM_BROKEN;
			break;
		case IN_DATA:
			took = len < stream->chunk_left ? len : stream->chunk_left;
			if (!stream_take_text(stream, bytes, took, lag, now_ns))
				return STREAM_BROKEN;
			bytes += took;
			len -= took;
			stream->chunk_left -= took;
			if (stream->chunk_left == 0)
				stream->where = IN_DATA_END;
			break;
		case IN_DATA_END:
			bytes++, len--;
			if (c == '\n')
				stream->where = IN_SIZE;
			else if (c != '\r')
				return stream_fail(stream, "bad chunk end"), STREAM_BROKEN;
			break;
		case IN_TRAILER: /* ends with an empty line */
			bytes++, len--;
			if (c == '\n' && stream->line_len == 0)
				return stream_is_complete(stream) ? STREAM_ENDED : STREAM_BROKEN;
			if (c == '\n')
				stream->line_len = 0;
			else if (c != '\r')
				stream->line_len++;
			break;
		}
	}
	return STREAM_GOES_ON;
}

#endif
