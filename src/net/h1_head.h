/* h1_head.h - a request head (or trailer section) being read, HTTP/1.
 *
 * Held only while a request is being read; a connection that waits for its
 * answer has none. owner: loop.
 */
#ifndef SL_NET_H1_HEAD_H
#define SL_NET_H1_HEAD_H

#include <llhttp.h>

#include "net/plain_head.h"
#include "net/server.h"

enum { SL_H1_BEFORE = 8 };

struct sl_h1_head {
	llhttp_t            parser;
	struct sl_buf       text;        /* target, then names and values */
	struct sl_slice     plain_text;  /* a plain head itself, in place of text: borrowed from
	                                  * the input of the last call, else empty */
	struct sl_plain_head plain;      /* what it holds; uses `fields` */
	struct sl_field_at *fields;
	uint32_t            count;       /* complete fields */
	uint32_t            capacity;
	uint32_t            count_max;
	uint32_t            target_at;
	uint32_t            target_len;
	size_t              bytes_left;  /* of the size limit */
	const char         *chunk;       /* input of this call */
	const char         *body_at;     /* chunk data found in this call */
	size_t              body_len;
	char                before[SL_H1_BEFORE]; /* input just before this call's */
	char                last;        /* last byte of the call before */
	bool                begun;       /* bytes were read */
	bool                has_target;
	bool                has_version;
	bool                in_value;
	bool                not_http;    /* RTSP, ICE */
	bool                odd_spaces;  /* in the request line */
	bool                too_large;
	bool                last_chunk;
};

/* NULL when out of memory. */
struct sl_h1_head *sl_h1_head_new(void);
void sl_h1_head_free(struct sl_h1_head *head);
/* For the next request, within these limits. */
void sl_h1_head_reset(struct sl_h1_head *head, size_t size_max, uint32_t count_max);
/* Before the trailer section of the same message; fields begin anew. */
void sl_h1_head_begin_trailers(struct sl_h1_head *head, size_t size_max);

/* Reads bytes of a head or trailer section up to its end. Returns bytes used
 * with *done telling whether the end was reached; SL_ELIMIT: over a limit;
 * SL_ESYNTAX with *reason. */
ptrdiff_t sl_h1_head_read(struct sl_h1_head *head, struct sl_slice bytes, bool *done,
                          const char **reason);
/* Reads a chunked body up to the end of one run of data, or through the size
 * line of the last chunk (*done). *data is the run, a part of bytes. */
ptrdiff_t sl_h1_head_read_chunk(struct sl_h1_head *head, struct sl_slice bytes,
                                struct sl_slice *data, bool *done, const char **reason);

/* Copies the complete fields, and the target as received, to the arena; SL_ENOMEM. To be
 * called before the input of the last sl_h1_head_read goes. */
enum sl_err sl_h1_head_copy(const struct sl_h1_head *head, struct sl_arena *arena,
                            struct sl_headers *out, struct sl_slice *target);
/* Bytes that this takes of the arena. */
size_t sl_h1_head_size(const struct sl_h1_head *head);

/* How a head says that its body is framed. */
struct sl_h1_framing {
	int64_t content_length; /* -1: none */
	bool    chunked;
	bool    keep_alive;
	bool    upgrade;
	bool    expects_continue;
	bool    http10;
};

/* Judges a complete head as RFC 9112 and our own strictness demand. 0, or the
 * status to refuse it with and *reason. */
int sl_h1_head_judge(const struct sl_h1_head *head, const struct sl_headers *headers,
                     struct sl_h1_framing *out, struct sl_slice *authority,
                     const char **reason);

#endif
