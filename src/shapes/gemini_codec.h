/* gemini_codec.h - translation of generateContent; private to the gemini_* files.
 * https://ai.google.dev/api/generate-content
 */
#ifndef SL_SHAPES_GEMINI_CODEC_H
#define SL_SHAPES_GEMINI_CODEC_H

#include "shapes/codec.h"

extern const struct sl_codec_ops sl_gemini_codec;

/* gemini_decode.c */
bool sl_gemini_decode(const struct sl_codec_input *in, struct sl_dialog *dialog,
                      struct sl_fault *fault);
/* The same for a request that stands at `up` of the caller's document. */
bool sl_gemini_decode_within(const struct sl_codec_input *in, const struct sl_where *up,
                             struct sl_dialog *dialog, struct sl_fault *fault);
/* The protocol takes "max_output_tokens" for "maxOutputTokens": the latter, on the
 * arena when it had to be made. */
struct sl_slice sl_gemini_camel(struct sl_slice key, struct sl_arena *arena);

/* gemini_encode.c */
/* A URL that goes as it is: of a file the service keeps, or of a video it can watch. */
bool sl_gemini_knows_url(struct sl_slice url);
enum sl_err sl_gemini_encode(struct sl_encode *encode);
/* Lets a model answer a call whose signature is lost, documented by the service:
 * base64 of skip_thought_signature_validator. */
#define SL_GEMINI_NO_SIGNATURE "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="

/* gemini_schema.c. Both return a schema on the arena, or the one given where there
 * is nothing to change; empty: no memory. */
struct sl_gemini_schema {
	struct sl_arena *arena;
	bool             legacy;  /* Schema of the API, not JSON Schema */
	bool             changed; /* set when a rule was lost or written otherwise */
};
/* From JSON Schema. */
struct sl_slice sl_gemini_schema_to(struct sl_gemini_schema *how, struct sl_slice schema);
/* To JSON Schema, from the API's Schema: upper-case types, nullable, limits in
 * strings. */
struct sl_slice sl_gemini_schema_from(struct sl_slice schema, struct sl_arena *arena);

/* gemini_args.c: arguments of a call that come piece by piece (partialArgs), as JSON text.
 * Zeroed: none are open. */
enum { SL_GEMINI_STEPS_MAX = 64 };
struct sl_gemini_level {
	int64_t index;   /* of an array: where the writing is; -1: an object */
	size_t  keys_at, key_at;
};
struct sl_gemini_args {
	bool                   open, in_text;
	size_t                 depth;
	struct sl_gemini_level levels[SL_GEMINI_STEPS_MAX];
	struct sl_buf          keys;
};
void sl_gemini_args_begin(struct sl_gemini_args *args);
/* Appends to out what the pieces (an array) add. False: they cannot be followed. */
bool sl_gemini_args_add(struct sl_gemini_args *args, struct sl_json partials,
                        struct sl_arena *arena, struct sl_buf *out);
/* The rest of the text; nothing when there were no pieces. None are open any more. */
void sl_gemini_args_end(struct sl_gemini_args *args, struct sl_buf *out);
void sl_gemini_args_release(struct sl_gemini_args *args);

/* gemini_read.c */
struct sl_gemini_reader {
	int64_t               next_key; /* of a block that stands alone: a call, a bare signature */
	struct sl_gemini_args args;     /* of the call that comes piece by piece, if one does: */
	int                   args_choice;
	int64_t               args_key;
};
void sl_gemini_reader_release(void *reader);
void sl_gemini_read_frame(void *reader, struct sl_flow *flow, struct sl_slice event,
                          struct sl_slice data, struct sl_arena *arena);
void sl_gemini_read_end(void *reader, struct sl_flow *flow, struct sl_arena *arena);
void sl_gemini_read_whole(struct sl_flow *flow, struct sl_slice body, struct sl_arena *arena);

/* gemini_write.c */
struct sl_gemini_writer {
	bool            began;
	bool            stopped;  /* `stop` of `choice` is yet to be written */
	bool            bad_call; /* arguments that are no JSON were left out */
	bool            in_call;  /* a call of call_choice is open */
	int             call_choice;
	int             choice;
	enum sl_stop    stop;
	struct sl_slice id, model; /* JSON strings, on the caller's arena */
	struct sl_slice call_id, name;
	struct sl_slice signature;
	struct sl_buf   args;      /* escaped, of the open call */
	struct sl_buf   citations; /* elements of citationSources */
};
void sl_gemini_write_event(void *writer, const struct sl_codec_caller *caller,
                           const struct sl_event *event, struct sl_buf *out);
void sl_gemini_writer_release(void *writer);
void sl_gemini_write_whole(const struct sl_completion *answer, const struct sl_codec_caller *caller,
                           struct sl_buf *out);

#endif
