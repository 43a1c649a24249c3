/* dialog.h - a generation request and its answer, in no API's grammar.
 *
 * Block-based: a conversation is an ordered list of turns, a turn an ordered
 * list of parts; order means something. Numbers, schemas and arguments are kept
 * as the bytes that came, so nothing is rounded and no key order is lost. What
 * has no place here is kept in `extras` with where it stood and in which API's
 * grammar, so that it is at least named when it is lost.
 *
 * Memory: everything is on one arena or borrowed from the body that was decoded;
 * both outlive the dialog. A dialog is not changed after it was settled: every
 * attempt encodes from the same one.
 */
#ifndef SL_MODEL_DIALOG_H
#define SL_MODEL_DIALOG_H

#include "base/json.h"
#include "base/tri.h"
#include "model/notes.h"
#include "model/usage.h"

/* Text as it came: a JSON string literal with its quotes, which is passed on
 * without being unescaped and escaped again, or plain UTF-8. */
struct sl_text {
	struct sl_slice raw;
	bool            json;
};

static inline struct sl_text
sl_text_plain(struct sl_slice utf8)
{
	return (struct sl_text){ utf8, false };
}

#define SL_TEXT_NONE ((struct sl_text){ SL_SLICE_NONE, false })

/* A JSON string; none for a value of another type. */
static inline struct sl_text
sl_text_json(struct sl_json value)
{
	if (value.type != SL_JSON_STRING)
		return SL_TEXT_NONE;
	return (struct sl_text){ value.raw, true };
}

static inline bool
sl_text_empty(struct sl_text text)
{
	return text.raw.len <= (text.json ? 2u : 0u);
}

/* As UTF-8: borrowed where it can be, else on the arena. False: out of memory. */
bool sl_text_utf8(struct sl_text text, struct sl_arena *arena, struct sl_slice *out);
/* As a JSON string value. */
void sl_text_put(struct sl_json_writer *w, struct sl_text text);
/* What stands between the quotes, escaped, appended to a buffer: pieces of one
 * text become one literal this way. */
void sl_text_append(struct sl_buf *buf, struct sl_text text);

/* --- parts ------------------------------------------------------------------ */

enum sl_part_kind {
	SL_PART_TEXT,
	SL_PART_REFUSAL,    /* text by which the model declined */
	SL_PART_REASONING,  /* text may be empty; signature proves it to whom minted it */
	SL_PART_TOOL_CALL,
	SL_PART_TOOL_RESULT,/* content in `parts` */
	SL_PART_IMAGE,
	SL_PART_AUDIO,
	SL_PART_VIDEO,
	SL_PART_DOCUMENT,
	SL_PART_OPAQUE,     /* raw JSON of `origin`'s grammar: hosted calls and results, blocks
	                     * that are not known; travels to that grammar only */
};

enum sl_cache { SL_CACHE_NONE, SL_CACHE_DEFAULT, SL_CACHE_5M, SL_CACHE_1H };

enum sl_media_source {
	SL_MEDIA_INLINE,  /* data: base64 */
	SL_MEDIA_URL,     /* data: http(s) URL */
	SL_MEDIA_FILE_ID, /* data: a provider's id of a file it has */
	SL_MEDIA_URI,     /* data: gs://, s3:// */
	SL_MEDIA_TEXT,    /* text: of a document */
	SL_MEDIA_PARTS,   /* parts: of a document */
};

struct sl_media {
	enum sl_media_source source;
	struct sl_slice      type;    /* "image/png", lower case; may be empty */
	struct sl_slice      data;    /* UTF-8; base64 without white space */
	struct sl_text       title;   /* file name */
	struct sl_text       context; /* what a document is about */
	struct sl_slice      detail;  /* "low", "high" ...; empty: not said */
	bool                 citations; /* the document may be cited */
};

/* What a stretch of an answer's text rests on. */
struct sl_citation {
	struct sl_citation *next;
	struct sl_slice url;   /* may be empty */
	struct sl_text  title;
	struct sl_text  quote; /* the cited words */
	int64_t         start, end; /* characters of the block's text; -1: not known */
	const char     *origin;     /* whose grammar raw is */
	struct sl_slice raw;
};

struct sl_part {
	struct sl_part   *next;
	enum sl_part_kind kind;
	struct sl_where   where;
	enum sl_cache     cache;     /* a cache point stands right behind this part */
	struct sl_text    text;      /* TEXT, REFUSAL, REASONING */
	struct sl_citation *citations; /* TEXT */
	/* TOOL_CALL, TOOL_RESULT */
	struct sl_slice   call_id;   /* UTF-8, as the caller wrote it, its seal taken off */
	struct sl_slice   name;      /* of the function; of a result: looked up when settled */
	struct sl_slice   args;      /* TOOL_CALL: the arguments as produced, JSON unless custom */
	bool              custom;    /* a free-form tool: args is its input as text */
	enum sl_tri       is_error;  /* TOOL_RESULT */
	struct sl_part   *parts, *parts_last; /* TOOL_RESULT, a document made of parts */
	struct sl_media   media;     /* IMAGE ... DOCUMENT */
	/* What only the issuer can read: of REASONING, and of a TOOL_CALL or TEXT (Gemini). */
	struct sl_slice   signature;
	bool              behind_id; /* the gateway carried signature behind the call's id */
	bool              token_only; /* signature says who thought it and proves nothing */
	bool              redacted;  /* REASONING whose signature is the whole content */
	bool              summary;   /* REASONING: text is a summary, not the thought itself */
	struct sl_slice   item_id;   /* REASONING of Responses: the item's id */
	struct sl_slice   issuer;    /* who minted signature: provider kind; empty: nobody known */
	/* OPAQUE */
	const char       *origin;    /* shape's name */
	struct sl_slice   raw;
};

struct sl_part_list {
	struct sl_part *first, *last;
};

/* --- turns ------------------------------------------------------------------- */

enum sl_role {
	SL_ROLE_SYSTEM,
	SL_ROLE_DEVELOPER,
	SL_ROLE_USER,
	SL_ROLE_ASSISTANT,
	SL_ROLE_TOOL, /* results only */
};

struct sl_turn {
	struct sl_turn *next;
	enum sl_role    role;
	struct sl_where where;
	struct sl_text  name; /* of the participant; usually empty */
	struct sl_part *parts, *parts_last;
};

static inline bool
sl_turn_instructs(const struct sl_turn *turn)
{
	return turn->role == SL_ROLE_SYSTEM || turn->role == SL_ROLE_DEVELOPER;
}

/* --- tools ------------------------------------------------------------------- */

enum sl_tool_kind {
	SL_TOOL_FUNCTION,
	SL_TOOL_CUSTOM, /* free-form input; raw is its definition in `origin`'s grammar */
	SL_TOOL_HOSTED, /* runs at the provider; raw */
};

struct sl_tool {
	struct sl_tool   *next;
	enum sl_tool_kind kind;
	struct sl_where   where;
	struct sl_slice   name;    /* UTF-8; of a hosted tool: its type */
	struct sl_text    description;
	struct sl_slice   schema;  /* raw JSON Schema; empty: takes nothing */
	enum sl_tri       strict;
	enum sl_cache     cache;
	const char       *origin;
	struct sl_slice   raw;     /* CUSTOM: its format, may be empty; HOSTED: the whole */
};

enum sl_choice_mode {
	SL_CHOICE_UNSET,
	SL_CHOICE_AUTO,
	SL_CHOICE_NONE,
	SL_CHOICE_REQUIRED, /* some tool */
	SL_CHOICE_NAMED,    /* names[0] */
};

enum { SL_CHOICE_NAMES_MAX = 128 };

struct sl_tool_choice {
	enum sl_choice_mode mode;
	struct sl_where     where;
	struct sl_slice    *names;      /* AUTO or REQUIRED with names: among these only */
	size_t              name_count;
};

/* --- the request --------------------------------------------------------------- */

enum sl_param {
#define SL_PARAM(id, loss) SL_PARAM_##id,
#include "model/dialog.def"
#undef SL_PARAM
	SL_PARAMS,
};
_Static_assert((int)SL_PARAMS <= 64, "a set of parameters is a uint64_t");

enum sl_param_loss { SL_LOSS_DROP, SL_LOSS_REFUSE, SL_LOSS_SILENT };
enum sl_param_loss sl_param_loss(enum sl_param param);

struct sl_param_value {
	struct sl_json  value; /* SL_JSON_NONE: not given; null counts as not given */
	struct sl_where where;
};

enum sl_reasoning_mode {
	SL_REASONING_UNSET,
	SL_REASONING_OFF,
	SL_REASONING_ON,       /* by effort or budget; neither: as the model likes */
	SL_REASONING_ADAPTIVE, /* the model decides, Anthropic's word for it */
};
enum sl_effort {
	SL_EFFORT_UNSET,
	SL_EFFORT_MINIMAL,
	SL_EFFORT_LOW,
	SL_EFFORT_MEDIUM,
	SL_EFFORT_HIGH,
	SL_EFFORT_XHIGH,
	SL_EFFORT_MAX,
};
struct sl_reasoning {
	enum sl_reasoning_mode mode;
	enum sl_effort         effort;
	int64_t                budget_tokens; /* -1: not given */
	enum sl_tri            show;          /* whether the caller wants to read it */
	struct sl_slice        summary;       /* Responses: "auto", "concise", "detailed" */
	struct sl_where        where;
};
const char *sl_effort_name(enum sl_effort effort); /* "medium"; NULL for UNSET */
/* UNSET: no such word. "none" is the mode OFF and no effort. */
enum sl_effort sl_effort_parse(struct sl_json word);
/* Between efforts and budgets: minimal 1024, low 2048, medium 8192, high 24576,
 * more 32768. */
int64_t        sl_effort_budget(enum sl_effort effort);
enum sl_effort sl_effort_of_budget(int64_t budget_tokens);

enum sl_format { SL_FORMAT_TEXT, SL_FORMAT_JSON, SL_FORMAT_SCHEMA };
struct sl_output {
	enum sl_format  format;
	struct sl_slice schema;      /* raw JSON Schema */
	struct sl_slice schema_name; /* UTF-8; may be empty */
	struct sl_text  description;
	enum sl_tri     strict;
	struct sl_where where;
	struct sl_where described; /* the description's place */
};

/* A member that found no place. */
struct sl_extra {
	struct sl_extra *next;
	struct sl_where  where;
	struct sl_slice  key;  /* unescaped */
	struct sl_slice  raw;
	bool             top;  /* a member of the document itself */
};

struct sl_dialog {
	struct sl_arena      *arena;
	const char           *origin;  /* name of the shape it was decoded from */
	bool                  stream;
	bool                  wants_usage; /* the caller wants usage in the stream */
	struct sl_turn       *turns, *turns_last;
	struct sl_tool       *tools, *tools_last;
	struct sl_tool_choice choice;
	struct sl_param_value params[SL_PARAMS];
	struct sl_reasoning   reasoning;
	struct sl_output      output;
	struct sl_extra      *extras, *extras_last;
	bool                  failed; /* out of memory while building: sticky */
};

void sl_dialog_init(struct sl_dialog *dialog, const char *origin, struct sl_arena *arena);
/* Append. Never NULL: out of memory gives a shared bin and sets dialog->failed. */
struct sl_turn *sl_dialog_turn(struct sl_dialog *dialog, enum sl_role role,
                               struct sl_where where);
struct sl_tool *sl_dialog_tool(struct sl_dialog *dialog, enum sl_tool_kind kind,
                               struct sl_where where);
struct sl_part *sl_turn_part(struct sl_dialog *dialog, struct sl_turn *turn,
                             enum sl_part_kind kind, struct sl_where where);
/* Into part->parts. */
struct sl_part *sl_part_part(struct sl_dialog *dialog, struct sl_part *part,
                             enum sl_part_kind kind, struct sl_where where);
/* A place on the dialog's arena, for chains that are longer than one step. */
const struct sl_where *sl_dialog_where(struct sl_dialog *dialog, struct sl_where where);
void sl_dialog_extra(struct sl_dialog *dialog, struct sl_where where, struct sl_slice key,
                     struct sl_slice raw);
/* null is not given. */
void sl_dialog_param(struct sl_dialog *dialog, enum sl_param param, struct sl_json value,
                     struct sl_where where);

static inline bool
sl_dialog_has(const struct sl_dialog *dialog, enum sl_param param)
{
	return dialog->params[param].value.type != SL_JSON_NONE;
}

/* An integer parameter; `none` when absent or no integer. */
int64_t sl_dialog_int(const struct sl_dialog *dialog, enum sl_param param, int64_t none);

/* Brings the turns into the order that every encoder may rely on:
 *
 *   M1  an assistant turn with calls is directly followed by a tool turn with one
 *       result per call, in the order of the calls; there is no other tool turn;
 *   M2  two neighbours never have the same role, except instructions;
 *   M3  no empty text, no turn without parts (of an assistant: dropped; of a user:
 *       a single space when nothing else is left of the conversation);
 *   M4  in an assistant turn calls come last;
 *   M5  every result has the name of its call, every call an id of its own.
 *
 * What had to be repaired is noted. Called once, after decoding. False: out of
 * memory. */
bool sl_dialog_settle(struct sl_dialog *dialog, struct sl_notes *notes);

/* --- the answer ------------------------------------------------------------------ */

/* Why a model stopped. */
enum sl_stop {
	SL_STOP_NONE,
	SL_STOP_END,
	SL_STOP_SEQUENCE,
	SL_STOP_MAX_TOKENS,
	SL_STOP_CONTEXT,
	SL_STOP_TOOL_CALLS,
	SL_STOP_FILTER,
	SL_STOP_RECITATION,
	SL_STOP_REFUSAL,
	SL_STOP_PAUSE,
	SL_STOP_BAD_TOOL,
	SL_STOP_ERROR,
	SL_STOP_UNKNOWN,
	SL_STOP_COUNT,
};

enum { SL_CHOICES_MAX = 128 };

/* One alternative of an answer. */
struct sl_alternative {
	struct sl_part *parts, *parts_last;
	enum sl_stop    stop;
	struct sl_text  stop_sequence; /* the one that matched; may be empty */
	struct sl_slice logprobs;      /* chat: the raw array of its `content` */
};

/* A whole answer. */
struct sl_completion {
	struct sl_text         id;
	struct sl_text         model;
	int64_t                created_s; /* 0: not said */
	struct sl_alternative *choices;
	size_t                 choice_count;
	struct sl_usage        usage;
};

#endif
