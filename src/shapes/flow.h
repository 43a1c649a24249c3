/* flow.h - an answer on its way from a provider's grammar to a caller's.
 *
 *   decoder --sl_flow_*()--> flow --struct sl_event--> sink: a codec's writer, or
 *                                                      the fold that makes an answer
 *
 * Decoders are sloppy on purpose: vendors are. They say what they see in the
 * order in which they see it; the flow makes of it what every writer may rely on:
 *
 *   I1  exactly one START, first
 *   I2  block numbers are contiguous from 0 per choice, in order of opening
 *   I3  every DELTA, SIGNATURE, CITATION falls between its OPEN and CLOSE
 *   I4  one STOP per choice, after its last CLOSE
 *   I5  USAGE is the cumulative snapshot, never a sum
 *   I6  exactly one of END and ERROR, last
 *   I7  a call's id and name are known at its OPEN (deltas wait until they are)
 *   I8  a call that got no arguments has "{}"
 *   I9  at most one block of a choice is open: of blocks that the provider
 *       interleaves the first streams, the others wait here until it is closed
 *
 * It also puts the caller's own tool names back, makes call ids legal for the
 * caller, seals signatures for their way through the caller's hands, and turns a
 * plain stop behind a call into TOOL_CALLS (vendors say "stop").
 *
 * Memory: events and their slices are valid during the call only. What waits is
 * bounded by SL_FLOW_WAITING_MAX bytes; beyond, the flow fails. Not thread-safe.
 */
#ifndef SL_SHAPES_FLOW_H
#define SL_SHAPES_FLOW_H

#include "model/dialog.h"
#include "model/fault.h"
#include "model/tool_map.h"
#include "shapes/seal.h"

enum {
	SL_FLOW_BLOCKS_MAX = 256,              /* open or waiting at one time */
	SL_FLOW_WAITING_MAX = 16 * 1024 * 1024, /* bytes */
	SL_FLOW_TOTAL_MAX = 65536,             /* blocks of one choice */
};

enum sl_event_kind {
	SL_EVENT_START,     /* id, model, created_s; usage as far as it is known */
	SL_EVENT_OPEN,      /* block_kind; of a call: id, name, custom */
	SL_EVENT_DELTA,     /* text: of the open block; of a call a piece of its arguments */
	SL_EVENT_SIGNATURE, /* signature of the open block, whole, sealed if it must be */
	SL_EVENT_CITATION,  /* citation of the open text block */
	SL_EVENT_LOGPROBS,  /* logprobs: raw array as chat's `content`, for the open text block */
	SL_EVENT_CLOSE,     /* of the open block */
	SL_EVENT_PART,      /* a whole block at once: image, audio, document, opaque */
	SL_EVENT_USAGE,     /* usage: the snapshot so far */
	SL_EVENT_STOP,      /* stop, stop_sequence */
	SL_EVENT_PING,
	SL_EVENT_ERROR,     /* fault */
	SL_EVENT_END,       /* usage: final */
};

struct sl_event {
	enum sl_event_kind kind;
	int                choice;     /* from 0 */
	int                block;      /* OPEN to CLOSE, PART: its number in the choice */
	enum sl_part_kind  block_kind; /* the same */
	int                call;       /* of a call: its number among the choice's calls */
	struct sl_text     text;
	bool               brief;      /* DELTA: text is gone after the call, even of a reply that
	                                * stays in memory */
	struct sl_text     id, model;  /* START; OPEN of a call: id */
	struct sl_text     name;       /* OPEN of a call: as the caller wrote it */
	bool               custom;     /* OPEN of a call: a free-form tool */
	bool               summary;    /* OPEN of reasoning */
	bool               redacted;   /* OPEN of reasoning that cannot be read */
	struct sl_slice    item_id;    /* OPEN of reasoning: of Responses, may be empty */
	int64_t            created_s;  /* START; 0: not said */
	struct sl_slice    signature;
	bool               token_only; /* SIGNATURE: says who thought it, proves nothing */
	const struct sl_citation *citation;
	struct sl_slice    logprobs;
	const struct sl_part *part;
	const struct sl_usage *usage;
	enum sl_stop       stop;
	struct sl_text     stop_sequence;
	const struct sl_fault *fault;
};

struct sl_flow_sink {
	void (*on_event)(void *context, const struct sl_event *event);
	void *context;
};

/* What the flow must know of the request. All borrowed for its life. */
struct sl_flow_setup {
	struct sl_flow_sink         sink;
	struct sl_arena            *arena;   /* takes ids and names: a little per block */
	const struct sl_tool_names *names;   /* of the target; NULL: none were changed */
	const struct sl_id_rule    *call_ids;/* of the caller's shape; NULL: any */
	const struct sl_sealer     *sealer;  /* NULL: signatures are left out */
	struct sl_slice             issuer;  /* provider kind that answers */
	bool                        sealed;  /* signatures go out sealed: another shape's caller */
	struct sl_slice             answer_tool; /* a call of it is the answer's text; empty: none */
	bool                        id_carries; /* a call's signature also rides on its id */
	uint64_t                    seed;    /* of minted ids; 0: random */
};

struct sl_flow_block;
struct sl_flow_choice;

/* Members are private, except those that say so. */
struct sl_flow {
	struct sl_flow_setup  setup;
	struct sl_flow_choice *choices;
	size_t                choice_count;
	struct sl_flow_block *blocks; /* all that are open or wait, in order of opening */
	size_t                block_count, block_room;
	size_t                waiting_size; /* bytes */
	bool                  started;  /* may be read */
	bool                  ended;    /* may be read: END or ERROR was told */
	bool                  failed;   /* may be read: it was ERROR */
	bool                  content;  /* may be read: something to read came */
	bool                  stopped;  /* may be read: a STOP was given */
	enum sl_stop          stop;     /* may be read: of choice 0, as told */
	struct sl_usage       usage;    /* may be read */
	struct sl_slice       model;    /* may be read: as the provider names it, UTF-8 */
	uint64_t              next_id;
};

void sl_flow_init(struct sl_flow *flow, const struct sl_flow_setup *setup);
void sl_flow_release(struct sl_flow *flow);

/* --- for decoders --------------------------------------------------------------- *
 *
 * Everything may be called at any time and any number of times; what makes no
 * sense any more (a delta behind END) is ignored.
 */

/* The first call counts; each other function starts a flow that was not. Texts
 * may be none. */
void sl_flow_start(struct sl_flow *flow, struct sl_text id, struct sl_text model,
                   int64_t created_s);

/* A block is named by its choice and a key of the decoder's own: the grammar's
 * index, or any number that is not in use. Opening one that is open is the same
 * block. Every other call with a key that is not open is ignored. */
struct sl_flow_open {
	int               choice;
	int64_t           key;
	enum sl_part_kind kind;
	struct sl_text    id, name;  /* of a call; may come later: sl_flow_call */
	bool              custom, summary, redacted;
	struct sl_slice   item_id;
	struct sl_slice   signature; /* of a call: must be known here if it is to ride on the id */
};
/* A call whose arguments are a complete object is closed by the next opening of its
 * choice: grammars that have no end of a call do not make the next one wait. */
void sl_flow_open(struct sl_flow *flow, const struct sl_flow_open *open);
bool sl_flow_is_open(const struct sl_flow *flow, int choice, int64_t key);
/* An id or a name that came behind the opening; empty ones change nothing. */
void sl_flow_call(struct sl_flow *flow, int choice, int64_t key, struct sl_text id,
                  struct sl_text name);
void sl_flow_delta(struct sl_flow *flow, int choice, int64_t key, struct sl_text text);
/* Whether any delta of the block came: for grammars that repeat the whole. */
bool sl_flow_has_delta(const struct sl_flow *flow, int choice, int64_t key);
/* The whole signature; a later one replaces it. UTF-8, of printable ASCII. */
void sl_flow_signature(struct sl_flow *flow, int choice, int64_t key, struct sl_slice signature);
void sl_flow_citation(struct sl_flow *flow, int choice, int64_t key,
                      const struct sl_citation *citation);
void sl_flow_logprobs(struct sl_flow *flow, int choice, int64_t key, struct sl_slice raw);
void sl_flow_close(struct sl_flow *flow, int choice, int64_t key);

/* A run of text in grammars whose blocks have no bounds: closes the choice's open
 * blocks of other kinds (calls excepted) and opens one with key `key` if there is
 * none, then is a delta. Empty text opens nothing. */
void sl_flow_run(struct sl_flow *flow, int choice, int64_t key, enum sl_part_kind kind,
                 struct sl_text text);
/* A whole block. The part is borrowed for the call. */
void sl_flow_part(struct sl_flow *flow, int choice, const struct sl_part *part);

void sl_flow_usage(struct sl_flow *flow, const struct sl_usage *snapshot);
/* Closes the choice's blocks. The last reason that is not NONE counts until the
 * flow ends or another choice's block opens. */
void sl_flow_stop(struct sl_flow *flow, int choice, enum sl_stop stop, struct sl_text sequence);
void sl_flow_ping(struct sl_flow *flow);
/* The provider reported an error, or what came is not its grammar. */
void sl_flow_fail(struct sl_flow *flow, const struct sl_fault *fault);
/* The end: with no STOP seen it is an ERROR, "cut". */
void sl_flow_end(struct sl_flow *flow);

/* --- the fold: events into an answer ---------------------------------------------- */

/* Parts and their text on the arena. `borrow`: deltas outlive the fold (a whole
 * reply that stays in memory) and single ones are not copied. */
struct sl_fold {
	struct sl_arena  *arena;
	bool              borrow;
	struct sl_completion  answer; /* complete when `done` */
	bool              done, failed; /* failed: ERROR; fault: its text on the arena */
	struct sl_fault   fault;
	struct sl_fold_choice *open; /* private: one per choice */
};
void sl_fold_init(struct sl_fold *fold, struct sl_arena *arena, bool borrow);
void sl_fold_release(struct sl_fold *fold);
void sl_fold_event(void *fold, const struct sl_event *event);

#endif
