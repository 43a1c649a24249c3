/* responses_codec.h - translation of POST /v1/responses; private to the responses_*
 * files. https://platform.openai.com/docs/api-reference/responses
 */
#ifndef SL_SHAPES_RESPONSES_CODEC_H
#define SL_SHAPES_RESPONSES_CODEC_H

#include "shapes/codec.h"

extern const struct sl_codec_ops sl_responses_codec;

/* Name of the shape, as the origin of what only it can read. */
#define SL_RESPONSES_ORIGIN "openai_responses"

/* Between the namespace of a tool and its name, where they are one. */
#define SL_RESPONSES_SPACE_END "."

/* responses_decode.c */
bool sl_responses_decode(const struct sl_codec_input *in, struct sl_dialog *dialog,
                         struct sl_fault *fault);

/* responses_encode.c */
enum sl_err sl_responses_encode(struct sl_encode *encode);

/* responses_read.c */
struct sl_responses_reader {
	int64_t  next_item;  /* output_index behind the last item that is done */
	uint64_t parts_done; /* of the item that is open: bit 1 << (content_index mod 64) */
};
void sl_responses_read_frame(void *reader, struct sl_flow *flow, struct sl_slice event,
                             struct sl_slice data, struct sl_arena *arena);
void sl_responses_read_end(void *reader, struct sl_flow *flow, struct sl_arena *arena);
void sl_responses_read_whole(struct sl_flow *flow, struct sl_slice body, struct sl_arena *arena);

/* responses_write.c */
enum sl_responses_item {
	SL_RESPONSES_NOTHING,
	SL_RESPONSES_MESSAGE,
	SL_RESPONSES_REASONING,
	SL_RESPONSES_CALL,
};
struct sl_responses_writer {
	bool            quiet;     /* a whole reply: nothing but the response is written */
	bool            unkept;    /* it is not kept after all */
	int64_t         sequence;  /* sequence_number of the next event */
	int64_t         created_s;
	struct sl_slice model;     /* JSON string, on the caller's arena */
	int             items;     /* opened so far */
	struct sl_buf   output;    /* finished items, joined by commas */
	enum sl_responses_item open; /* the item that is open */
	/* Of the open item. */
	char            item_id[96];
	struct sl_slice call_id, space, name; /* UTF-8, on the caller's arena */
	bool            custom, summary, refusal;
	bool            in_part;   /* a part of it is open */
	int             part_count;
	struct sl_slice signature; /* on the caller's arena */
	struct sl_buf   parts;     /* finished parts, joined by commas */
	struct sl_buf   text;      /* escaped, of the open part or call */
	struct sl_buf   annotations, logprobs; /* elements, joined by commas */
	int             annotation_count;
	enum sl_stop    stop;
};
void sl_responses_write_event(void *writer, const struct sl_codec_caller *caller,
                              const struct sl_event *event, struct sl_buf *out);
void sl_responses_writer_release(void *writer);
void sl_responses_write_whole(const struct sl_completion *answer,
                              const struct sl_codec_caller *caller, struct sl_buf *out);

#endif
