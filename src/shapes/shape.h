/* shape.h - an API's wire format.
 *
 * A shape knows which requests it owns (method and path), what in them steers,
 * how to make the same request for another model without touching any other
 * byte, how to read replies and events in passing, and how its callers expect
 * an error to look. It never sees a header name, a socket or a clock. Pure:
 * everything comes in as arguments.
 *
 * To add a shape: one file that defines `const struct sl_shape_ops
 * sl_shape_NAME`, one line in shapes.def, vectors under tests/vectors/NAME/.
 */
#ifndef SL_SHAPES_SHAPE_H
#define SL_SHAPES_SHAPE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/slice.h"
#include "base/sse.h"
#include "model/fault.h"
#include "model/prompt.h"
#include "model/usage.h"
#include "shapes/gist.h"

/* A path a shape owns: "/v1beta/models/{model}:generateContent". `{model}`
 * matches one segment, percent-decoded (up to the last ':' where the pattern
 * goes on with one). Fixed text matches byte for byte. */
struct sl_shape_path {
	const char *pattern;
	const char *verb; /* what the shape calls this variant: "generateContent" */
};

/* How the bytes of a reply are framed. */
enum sl_framing {
	SL_FRAMING_WHOLE,      /* one document (JSON, or binary such as audio) */
	SL_FRAMING_SSE,
	SL_FRAMING_JSON_ARRAY, /* Gemini without alt=sse: [ {...} , {...} ] */
	SL_FRAMING_EVENTS,     /* Bedrock: application/vnd.amazon.eventstream */
};

struct sl_shape_input {
	const char     *verb;         /* of the path that matched */
	struct sl_slice path_model;   /* {model}, decoded; may be empty */
	struct sl_slice query;
	struct sl_slice content_type; /* of the body */
	struct sl_slice body;
};

enum { SL_SHAPE_WANTS_MAX = 16 };

/* What steers a request. Filled by read_request; slices are of the body, the
 * input or the arena. */
struct sl_steer {
	struct sl_slice model;        /* unescaped; empty: none given */
	bool            stream;
	enum sl_framing framing;      /* of a successful reply */
	bool            wants_usage;  /* chat streams: the caller asked for the usage chunk */
	int64_t         max_output_tokens; /* -1: not given */
	int64_t         choices;      /* n, candidateCount; 1 when not given */
	struct sl_slice end_user;     /* user, metadata.user_id, safety_identifier; may be empty */
	bool            reply_opaque; /* a successful reply is no JSON (audio, subtitles) and
	                               * read_reply does not look into it */
	struct sl_usage counted;      /* what the request alone tells (characters of a speech);
	                               * stands where the provider reports nothing */
	/* For the shape's own use between read_request and forward. */
	struct sl_shape_input input;
	struct sl_json_found  found[SL_SHAPE_WANTS_MAX];
	struct sl_json_found  top;
	struct sl_slice       model_part; /* multipart: bytes of the model field's value */
};

/* Where it goes, as far as a shape may know. */
struct sl_shape_target {
	struct sl_slice model;          /* the provider's id for it */
	bool            model_in_path;  /* the body needs no model (Azure deployments) */
	const char     *body_version;   /* Claude on Vertex: anthropic_version stands in the body
	                                 * in place of the model; NULL: not so */
	bool            ask_for_usage;  /* the target knows stream_options.include_usage */
	bool            as_written;     /* not our bill: usage is not asked for, and what the
	                                 * caller wrote of it stays */
	int64_t         max_output_tokens; /* to be put in, because a budget needs a limit and
	                                    * the request has none; 0: nothing */
	bool            old_limit_name; /* the target knows max_tokens only */
	bool            no_developer;   /* chat: developers' instructions are the system's */
	struct sl_json  extensions;     /* an object of members to put in where the body has
	                                 * none of the name; SL_JSON_NONE: nothing */
};

enum { SL_FORWARD_SLICES_MAX = 64 };

/* The request for the target: slices of the caller's body and of the arena. */
struct sl_forward {
	struct sl_slice body[SL_FORWARD_SLICES_MAX];
	size_t          body_count;
	bool            usage_injected; /* we asked for usage, the caller did not:
	                                 * frames that exist only for that are hidden */
	struct sl_slice changes;        /* what was written otherwise for the target, as notes are
	                                 * printed; on the arena */
};

/* Nothing to send; the slices are read up to their count and stay as they are. */
static inline void
sl_forward_clear(struct sl_forward *forward)
{
	forward->body_count = 0;
	forward->usage_injected = false;
	forward->changes = SL_SLICE_NONE;
}

/* What was learnt of a reply. */
struct sl_reply_facts {
	struct sl_usage usage;
	struct sl_slice model;     /* as the provider names what served; on the arena */
	int64_t         text_bytes; /* of content so far, as written: to be counted where
	                             * nothing is reported */
	bool            content;   /* the first real content was seen */
	bool            finished;  /* the grammar's proper end was seen */
	bool            failed;    /* an error object or event was seen, or: */
	bool            broken;    /* what came is no JSON (then failed as well) */
	bool            content_filter; /* stopped by a filter */
	struct sl_slice error_type;    /* on the arena, may be empty */
	struct sl_slice error_message; /* on the arena, may be empty */
};

enum sl_frame_verdict {
	SL_FRAME_PASS, /* relay the frame's bytes as they are */
	SL_FRAME_HIDE, /* not meant for the caller */
};

/* Per-stream memory of a shape, zero-initialised except hide_usage. */
struct sl_stream_state {
	struct sl_reply_facts facts;
	bool     hide_usage;   /* usage was injected */
	bool     stop_seen;
	uint32_t frames;
	/* Responses: what a terminal event of ours must continue. */
	struct sl_slice response_id;   /* on the arena, may be empty */
	int64_t         created_s;     /* as the provider said, 0: unknown */
	int64_t         next_sequence; /* sequence_number of the event after the last one read */
};

struct sl_codec_ops;

struct sl_shape_ops {
	const char                 *name;     /* "openai_chat": records, metrics, config */
	const char                 *family;   /* "openai", "anthropic", "gemini" */
	const char                 *operation;/* OTel gen_ai.operation.name: "chat", "embeddings", ... */
	/* Ends with a NULL pattern; all POST. None: no caller speaks it, providers are
	 * spoken to in it by translation, and of the functions below it needs none. */
	const struct sl_shape_path *paths;
	/* Path on a provider of the same family, below its base URL:
	 * "/chat/completions", "/v1/messages", "/v1beta/models/{model}:{verb}". */
	const char                 *upstream_path;
	/* No provider charges for it: nothing is held, and what a reply counts is an answer. */
	bool free_of_charge;
	/* forward puts a target's max_output_tokens in. */
	bool takes_limit;
	/* How it is translated to and from other shapes (codec.h). NULL: not at all. */
	const struct sl_codec_ops  *codec;
	/* Finds what steers. Returns false with *fault filled (BAD_JSON, BAD_TYPE,
	 * BAD_REQUEST with param ...). Only fields that steer are judged; everything
	 * else is the provider's business. */
	bool (*read_request)(const struct sl_shape_input *input, struct sl_arena *arena,
	                     struct sl_steer *steer, struct sl_fault *fault);
	/* What a request that was read asks, for the classifier. NULL: no prompt. */
	void (*read_prompt)(const struct sl_steer *steer, struct sl_arena *arena,
	                    struct sl_prompt *out);
	/* The request for a target. SL_OK or an error of the splice. */
	enum sl_err (*forward)(const struct sl_steer *steer, const struct sl_shape_target *target,
	                       struct sl_arena *arena, struct sl_forward *out);
	/* The reply is passed on as it comes instead of being held to be read (audio):
	 * read_reply then gets an empty body and knows only the request. */
	bool relay_reply;
	/* Reads a complete successful reply (SL_FRAMING_WHOLE). A body that is not
	 * what the shape promises sets facts->failed. NULL: bytes are opaque. */
	void (*read_reply)(const struct sl_steer *steer, struct sl_slice body,
	                   struct sl_arena *arena, struct sl_reply_facts *facts);
	/* What that reply says, for judging it. NULL: it has no text to be judged. */
	void (*read_gist)(struct sl_slice body, struct sl_arena *arena, struct sl_gist *out);
	/* Reads one frame of a stream in passing. data is the joined data of an SSE
	 * frame or one element of a JSON array. NULL: never streams. */
	enum sl_frame_verdict (*read_frame)(struct sl_stream_state *state, struct sl_slice event,
	                                    struct sl_slice data, struct sl_arena *arena);
	/* Called once when the upstream's bytes ended properly: some grammars
	 * (Gemini) have no terminal frame and are finished by a seen stop reason.
	 * NULL: facts.finished stands as it is. */
	void (*end_stream)(struct sl_stream_state *state);
	/* A fault as this API's callers expect it: the JSON body of an error reply. */
	void (*write_fault)(const struct sl_fault *fault, struct sl_slice request_id,
	                    struct sl_buf *out);
	/* The same inside a stream that has begun: bytes to append, after which the
	 * connection ends without a success terminator. */
	void (*write_stream_fault)(const struct sl_stream_state *state,
	                           const struct sl_fault *fault, struct sl_slice request_id,
	                           enum sl_framing framing, struct sl_buf *out);
};

/* What passes to a provider as it is, on paths that no shape owns: nothing is read
 * in the request or the reply. In no list; chosen by whoever may proxy. */
extern const struct sl_shape_ops sl_shape_proxy;

#define SL_SHAPE(id) extern const struct sl_shape_ops sl_shape_##id;
#include "shapes/shapes.def"
#undef SL_SHAPE

size_t sl_shape_count(void);
const struct sl_shape_ops *sl_shape_at(size_t index);
size_t sl_shape_index(const struct sl_shape_ops *shape); /* the count: in no list */
const struct sl_shape_ops *sl_shape_by_name(struct sl_slice name); /* NULL: unknown */

/* What a raw path means where it is an alias (aliases.def), else the path itself.
 * *model is the one it names, decoded, or empty. */
struct sl_slice sl_shape_path(struct sl_slice path, struct sl_arena *arena,
                              struct sl_slice *model);

/* Finds the shape that owns a POST to this raw (percent-encoded) path, or to what it
 * is an alias of. Fills input->verb and input->path_model (decoded on the arena).
 * NULL: nobody. */
const struct sl_shape_ops *sl_shape_match(struct sl_slice path, struct sl_arena *arena,
                                          struct sl_shape_input *input);

/* The members of a body that was read which are contracts between the caller and a
 * gateway: metadata.astrolabe, nexus, stoPayload. SL_JSON_NONE where absent. */
void sl_shape_members(const struct sl_steer *steer, struct sl_json *astrolabe,
                      struct sl_json *nexus, struct sl_json *sto_payload);

/* A body that was made here with a target's extensions put in; slices of both. */
enum sl_err sl_shape_extend(struct sl_slice body, struct sl_json extensions,
                            struct sl_arena *arena, struct sl_forward *out);

/* Whom to ask how an error looks when no shape owns the path: by the path's
 * beginning ("/v1beta" gemini, "/v1/messages" anthropic), else openai_chat. */
const struct sl_shape_ops *sl_shape_for_errors(struct sl_slice path);

#endif
