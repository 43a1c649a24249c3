/* codec.h - a shape's translation to and from the dialog (model/dialog.h).
 *
 * A shape that can be translated points to one of these from its sl_shape_ops.
 * It may be one-way: a NULL member means "cannot", and the lane chooser looks at
 * exactly these four:
 *
 *   decode_request && write_whole    callers may speak it (ingress)
 *   encode_request && read_whole     providers may speak it (egress)
 *
 * How to write one (take anthropic_codec.c as the example):
 *
 * decode_request  walks the validated body once and builds the dialog with the
 *   sl_dialog_* builders. Every member is taken, or kept with sl_dialog_extra, or
 *   refused; none is skipped. Give every part and parameter its sl_where. Texts
 *   stay JSON literals (sl_text_json), numbers and schemas raw slices. Do not
 *   repair the conversation: sl_dialog_settle does it for everybody. Take seals off
 *   with sl_codec_call_id and sl_codec_signature.
 *   Refuse (false, *fault with kind UNSUPPORTED or BAD_TYPE, message and param)
 *   only what is malformed; what a *target* lacks is the encoder's affair.
 *
 * encode_request  writes the body for a target from a settled dialog (M1-M5). The
 *   dialog is shared by all attempts: never change it. For each parameter it sends
 *   it calls sl_encode_takes; when it returns, sl_encode_leftovers (called by the
 *   pipeline) notes or refuses every parameter, extra and so on that was not taken,
 *   after the table in dialog.def. So silence is loud, and "it does not matter" is
 *   said by taking it. Parts: what the target cannot carry is noted with sl_note
 *   (a code of notes.def, &part->where) or refused with sl_encode_refuse, after the
 *   table in docs/translation.md. Names and ids go through sl_encode_name and
 *   sl_encode_id. Signatures are sent only where sl_encode_is_issuer says so.
 *
 * read_whole, read_frame, read_end  tell a flow (flow.h) what a provider sent;
 *   the flow establishes the order. read_whole gets a complete reply; it makes the
 *   same calls, in the order of the blocks, so stream and whole reply cannot differ.
 *   The reader is `reader_size` zeroed bytes of the codec's own; memory it takes
 *   must be on in->arena (bounded!) or freed in reader_release. No text is kept
 *   beyond what the grammar forces (flows keep what must wait).
 *   Garbage and error objects: sl_flow_fail. Unknown frames and members: ignored.
 *
 * write_whole, write_event  write an answer for a caller. Events come in the order
 *   I1-I9 of flow.h, so a writer is a switch without state of the source. At END the
 *   event has the final usage; ERROR must become the grammar's error frame, after
 *   which nothing follows. write_event appends whole frames to `out` and keeps none.
 *   What the grammar cannot carry is noted in caller->notes (SL_NOTE_output_dropped),
 *   which is NULL once the head is on its way.
 *
 * Slices live: in decode_request as long as the body and the arena; in the others
 * during the call, unless they are on the given arena. Errors of memory: false, or
 * the buffer's sticky failure; never an assert. No codec allocates per delta.
 */
#ifndef SL_SHAPES_CODEC_H
#define SL_SHAPES_CODEC_H

#include "model/catalog.h"
#include "model/model_rules.h"
#include "shapes/flow.h"
#include "shapes/shape.h"

/* A request to be decoded. */
struct sl_codec_input {
	const struct sl_shape_input *input;  /* body: validated JSON */
	const struct sl_sealer      *sealer; /* may be NULL */
	struct sl_notes             *notes;
};

/* Where an encoded request goes. */
struct sl_codec_target {
	const char                 *provider; /* kind: "openai", "deepseek" */
	struct sl_slice             model;    /* the provider's id */
	const struct sl_model_card *card;     /* NULL: unknown model */
	uint32_t                    rules;    /* SL_RULE_* of the model */
	bool                        model_in_path;
	bool                        ask_for_usage; /* knows stream_options.include_usage */
	int64_t                     limit;    /* of output tokens, if the caller gave none because
	                                       * a budget must hold; 0: none */
	const char                 *issuer;   /* whose signatures it takes */
};

/* One encode_request. */
struct sl_encode {
	const struct sl_dialog       *dialog;
	const struct sl_codec_target *target;
	const struct sl_codec_ops    *codec;
	struct sl_notes              *notes;
	struct sl_fault              *fault;
	struct sl_arena              *arena;
	struct sl_buf                *out;
	uint64_t                      taken; /* bit 1 << enum sl_param */
	bool                          took_extras; /* the same grammar: extras were written */
};

/* A reply that is written for a caller. What the request said is on `arena`. */
struct sl_codec_caller {
	struct sl_arena *arena;      /* lives as long as the answer */
	struct sl_slice  request_id; /* ours */
	bool             wants_usage;
	enum sl_framing  framing;    /* of a stream */
	int64_t          now_s;
	struct sl_slice  model;      /* stands in where the provider names none */
	bool             stores;     /* the answer says that it will be kept, and */
	struct sl_buf   *kept;       /* a streamed one is put here as a whole too; or NULL */
	size_t           keeps_max;  /* bytes of output that can be kept */
	struct sl_slice  echo;       /* the caller's body, only if keeps_request; else empty */
	struct sl_notes *notes;
};

/* What a codec's requests ask for; only the same can serve the same. */
enum sl_codec_task {
	SL_CODEC_GENERATE,
	SL_CODEC_COUNT, /* tokens of a request */
	SL_CODEC_EMBED,
};

struct sl_codec_ops {
	enum sl_codec_task task;
	/* Ingress. out is zeroed but for its arena; sl_dialog_init it first. */
	bool (*decode_request)(const struct sl_codec_input *in, struct sl_dialog *out,
	                       struct sl_fault *fault);
	void (*write_whole)(const struct sl_completion *answer, const struct sl_codec_caller *caller,
	                    struct sl_buf *out);
	size_t writer_size;
	void (*write_event)(void *writer, const struct sl_codec_caller *caller,
	                    const struct sl_event *event, struct sl_buf *out);
	void (*writer_release)(void *writer);
	const struct sl_id_rule *caller_ids; /* call ids this API's callers can take; NULL: any */
	bool id_carries;    /* callers replay nothing but ids: signatures of calls ride on them */
	bool keeps_request; /* answers repeat members of the request: caller->echo is given */

	/* Egress. SL_OK; SL_EUNSUPPORTED with *fault; SL_ENOMEM. */
	enum sl_err (*encode_request)(struct sl_encode *encode);
	void (*read_whole)(struct sl_flow *flow, struct sl_slice body, struct sl_arena *arena);
	size_t reader_size;
	void (*read_frame)(void *reader, struct sl_flow *flow, struct sl_slice event,
	                   struct sl_slice data, struct sl_arena *arena);
	/* The provider's bytes ended properly. Usually sl_flow_end. */
	void (*read_end)(void *reader, struct sl_flow *flow, struct sl_arena *arena);
	void (*reader_release)(void *reader);
	/* {verb} of the upstream path and what is added to the query, by streaming. */
	const char *verb, *verb_stream, *query_stream;
	enum sl_framing stream_framing;
	const struct sl_id_rule   *target_ids; /* NULL: any */
	const struct sl_name_rule *target_names;
	/* Tools' inputs have no anyOf, oneOf or allOf at their top. */
	bool     plain_tools;
	/* Claude before it knew schemas is held to one by a tool that it must call. */
	bool     schema_by_tool;
	/* Kinds of media (bit 1 << SL_PART_IMAGE ...) that it sends as data only, and which
	 * URLs it sends all the same; NULL: none. */
	unsigned no_urls;
	bool   (*knows_url)(struct sl_slice url);
	const char *issuer;       /* who mints signatures in it; NULL: the provider's kind */
};

/* Whether a request of `from` can be served by a provider that speaks `via`. */
bool sl_codec_can(const struct sl_shape_ops *from, const struct sl_shape_ops *via);

/* --- for decoders of requests ---------------------------------------------------- */

/* A call's id without its seal; what the seal says goes into the part. */
bool sl_codec_call_id(const struct sl_codec_input *in, struct sl_dialog *dialog,
                      struct sl_json id, struct sl_part *part);
/* A signature as it came: sealed (then issuer and payload are what it says) or the
 * grammar's own, minted by `native`. An empty one is none. */
void sl_codec_signature(const struct sl_codec_input *in, struct sl_dialog *dialog,
                        struct sl_slice text, const char *native, struct sl_part *part);
/* A member's name, unescaped (on the arena where it has to be). */
struct sl_slice sl_codec_key(struct sl_slice raw_key, struct sl_arena *arena);
/* Its number in a list of names; -1 when it is not there. */
int sl_codec_find(struct sl_slice key, const struct sl_slice *names, size_t count);
/* Parameters that need no looking at: name in this grammar -> param. True: taken. */
struct sl_codec_param {
	struct sl_slice name;
	enum sl_param   param;
};
bool sl_codec_take_param(struct sl_dialog *dialog, const struct sl_codec_param *rows,
                         size_t count, struct sl_slice key, struct sl_json value,
                         struct sl_where where);
/* true, false; anything else says nothing. */
enum sl_tri sl_codec_tri(struct sl_json value);
/* Whether it says nothing: null, false, 0, "", [], {}. */
bool sl_codec_says_nothing(struct sl_json value);
/* {"type":"ephemeral","ttl":"1h"} of Anthropic and of those who copy it. */
enum sl_cache sl_codec_cache(struct sl_json cache_control);
/* Members of a block that no row names: what says something becomes an extra. */
void sl_codec_rest(struct sl_dialog *dialog, struct sl_json object, const struct sl_where *where,
                   const struct sl_slice *known, size_t known_count);
/* Whether it is one of these names, with a space between them. */
bool sl_codec_lists(const char *names, struct sl_slice key);
/* The same of an object inside; known: names with a space between them. Nothing for
 * what is no object. */
void sl_codec_only(struct sl_dialog *dialog, struct sl_json object, const struct sl_where *where,
                   const char *known);
/* A fault that names the place. False, for `return sl_codec_refuse(...)`. */
bool sl_codec_refuse(struct sl_fault *fault, enum sl_fault_kind kind, struct sl_dialog *dialog,
                     const struct sl_where *where, const char *message);

/* --- for encoders ------------------------------------------------------------------ */

/* The parameter's value; SL_JSON_NONE when absent. It counts as sent. */
struct sl_json sl_encode_takes(struct sl_encode *encode, enum sl_param param);
/* As member `name`, raw, when it is given. */
void sl_encode_param(struct sl_encode *encode, struct sl_json_writer *w, enum sl_param param,
                     const char *name);
/* Members that no translation knows, as they came: for the grammar they came in. */
void sl_encode_extras(struct sl_encode *encode, struct sl_json_writer *w);
struct sl_slice sl_encode_name(struct sl_encode *encode, struct sl_slice name);
struct sl_slice sl_encode_id(struct sl_encode *encode, struct sl_slice call_id);
/* Whether a part's signature may be sent to this target. */
bool sl_encode_is_issuer(const struct sl_encode *encode, const struct sl_part *part);
/* Whether a tool may be called under the choice, for targets that are told so by offering
 * no other; one that may not is noted. */
bool sl_encode_allows(struct sl_encode *encode, const struct sl_tool *tool);
/* Whether to ask OpenAI's APIs to hold to a schema strictly: as the caller said in these
 * APIs; where another API promises it for any schema, only if this one is closed as they
 * insist on (every property required, no others), else noted as `code`. */
enum sl_tri sl_encode_strict(struct sl_encode *encode, enum sl_tri strict,
                             struct sl_slice schema, enum sl_note_code code,
                             const struct sl_where *where);
/* For targets whose formats have no description: one that is lost is noted. */
void sl_encode_no_description(struct sl_encode *encode);
/* For targets whose files have no names: one that is lost is noted. */
void sl_encode_no_title(struct sl_encode *encode, const struct sl_part *part);
/* The caller's limit, the target's or, with `needed`, the model's own, within what the
 * model can; 0: none. MAX_TOKENS counts as sent. */
int64_t sl_encode_max_tokens(struct sl_encode *encode, bool needed);
/* Notes an effort that was asked for where nothing takes it. */
void sl_encode_no_effort(struct sl_encode *encode);
/* Notes the name of a participant where the target has none. */
void sl_encode_no_name(struct sl_encode *encode, const struct sl_turn *turn);
/* A cache marker, if it is one, that goes nowhere is noted. */
void sl_encode_no_cache(struct sl_encode *encode, enum sl_cache cache,
                        const struct sl_where *where);
/* The schema of a tool's input with "type":"object" at its top, which some targets
 * insist on: put in (noted) where it is missing, made up for a free-form tool (noted)
 * and one without parameters. False: it cannot be, *fault is set. */
bool sl_encode_schema(struct sl_encode *encode, const struct sl_tool *tool,
                      struct sl_slice *out);
/* "Answer with JSON only ..." for targets without a native format; noted, and so is
 * strictness, which words cannot give. */
struct sl_slice sl_encode_format_words(struct sl_encode *encode);
/* Arguments as a JSON object: "" and null are {}, what is no object is wrapped as
 * {"input": ...} and noted. */
struct sl_slice sl_encode_args(struct sl_encode *encode, const struct sl_part *call);
/* Fills *fault (UNSUPPORTED, param: the place) and returns SL_EUNSUPPORTED. */
enum sl_err sl_encode_refuse(struct sl_encode *encode, const struct sl_where *where,
                             const char *message);
/* The dialog for a model that can be held to a schema by a tool only: with the tool, and
 * the choice of it. The answer is the call's arguments: the flow must know the name. NULL:
 * it is not such a case, or tools and reasoning do not leave room for it. */
#define SL_SCHEMA_TOOL "json_output"
const struct sl_dialog *sl_encode_schema_tool(const struct sl_dialog *dialog,
                                              const struct sl_codec_ops *codec,
                                              const struct sl_codec_target *target,
                                              struct sl_notes *notes, struct sl_arena *arena);
/* Everything that was not taken: noted, or SL_EUNSUPPORTED. Called by the lane. */
enum sl_err sl_encode_leftovers(struct sl_encode *encode);

/* In grammars whose messages are {"role","content":[...]}: ends the message that is open and
 * begins one, unless the same role goes on. NULL: only ends. `open` is the caller's. */
void sl_encode_message(struct sl_json_writer *w, const char **open, const char *role);

/* --- for writers ------------------------------------------------------------------------ */

/* Something of the answer has no place in the caller's API. */
void sl_codec_note_lost(const struct sl_codec_caller *caller);
/* "id": the provider's own, else `prefix` and ours; "model": the provider's, else the one
 * asked for. */
void sl_codec_put_id(struct sl_json_writer *w, const struct sl_codec_caller *caller,
                     const char *prefix, struct sl_text id);
void sl_codec_put_model(struct sl_json_writer *w, const struct sl_codec_caller *caller,
                        struct sl_text model);

/* --- errors of providers -------------------------------------------------------------- */

/* Whether a refusal, in the words of any provider, is of a conversation that is longer than
 * the model's window. */
bool sl_codec_says_too_long(struct sl_slice body);
/* What an error reply of any provider says, as a fault of the right kind: status
 * first, then its words. 401, 402 and 403 are left to the caller of this. Texts are
 * on the arena. */
void sl_codec_read_error(int status, struct sl_slice body, struct sl_arena *arena,
                         struct sl_fault *out);
/* The same for an error object inside a 200. */
void sl_codec_read_error_value(struct sl_json error, struct sl_arena *arena,
                               struct sl_fault *out);
/* How long an error reply of Google's asks to wait (google.rpc.RetryInfo), in
 * milliseconds; 0: it does not say. */
int64_t sl_codec_read_delay_ms(struct sl_slice body);

#endif
