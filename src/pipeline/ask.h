/* ask.h - one request on its journey. Internal to the pipeline.
 *
 * owner: loop. Lives on its exchange's arena, from on_head to on_gone; with a caller
 * who left a paid answer, to its end (drain.h).
 *
 *   ARRIVING --body complete--> PLANNED --fetch started--> WAITING
 *      |                          |                          |  ^
 *      |                          |                          |  '-- next target
 *      |                          |                first content or whole reply
 *      |                          |                          v
 *      '-------- refused ---------'------------------->  ANSWERING --> ANSWERED
 *
 * Until ANSWERING nothing has been sent to the caller, so another target may
 * still be tried. set_state in ask.c holds the legal moves.
 */
#ifndef SL_PIPELINE_ASK_H
#define SL_PIPELINE_ASK_H

#include "base/rand.h"
#include "ledger/tenancy.h"
#include "model/fault.h"
#include "net/client.h"
#include "net/server.h"
#include "pipeline/attach.h"
#include "pipeline/board.h"
#include "pipeline/drain.h"
#include "pipeline/frames.h"
#include "pipeline/hedge.h"
#include "pipeline/recall.h"
#include "pipeline/repeat.h"
#include "pipeline/spend.h"
#include "pipeline/stored.h"
#include "pipeline/token.h"
#include "pipeline/translate.h"
#include "pipeline/verify.h"
#include "pipeline/pace.h"
#include "pipeline/waiting.h"
#include "pipeline/world.h"
#include "routing/plan.h"
#include "routing/plan_names.h"
#include "shapes/extent.h"
#include "shapes/shape.h"
#include "surfaces/surface.h"
#include "telemetry/record.h"
#include "tokens/tokens.h"

enum sl_ask_state {
	SL_ASK_ARRIVING,
	SL_ASK_PLANNED,
	SL_ASK_WAITING,
	SL_ASK_ANSWERING,
	SL_ASK_ANSWERED,
};

/* How the reply of the running attempt is handled. */
enum sl_reply_mode {
	SL_REPLY_HOLD,   /* held whole, read for usage, then sent with its cost */
	SL_REPLY_ERROR,  /* an error reply, held (bounded), then sent or dropped */
	SL_REPLY_STREAM, /* frames: held until the first content, then relayed */
	SL_REPLY_OPAQUE, /* relayed as it comes, nothing to read in it */
};

/* The most useful error reply of the attempts that failed: what the caller gets
 * when none goes well. */
struct sl_kept_error {
	int                           status; /* 0: none */
	int                           answer_status; /* as sl_ask has it */
	const struct sl_plan_target  *target;
	struct sl_header             *headers;
	size_t                        header_count;
	struct sl_buf                 body;
};

/* What steers and where it may go, with everything made on the way there: large,
 * and needed only until the answer begins; then freed, so that a running stream
 * costs little. */
struct sl_ask_front {
	struct sl_arena   arena; /* the front itself is on it */
	struct sl_steer   steer;
	struct sl_plan    plan;
	struct sl_forward forward;
	size_t            next_target;
	bool              went_on;     /* the body has the conversation before it (stored.h) */
	bool              has_body;    /* forward is what the attempt sends */
	bool              at_once;     /* the next attempt needs no pause: another key */
	const struct sl_plan_target *target; /* of the running or last attempt */
	struct sl_kept_error kept;
	struct sl_verify *verify;      /* NULL: no answer was looked at yet */
	struct sl_bidding *bidding;    /* NULL: no auction chose where it goes */
	struct sl_extent  extent;      /* of the body, once a budget needed it */
	struct sl_translation *translation; /* NULL: nothing was decoded */
	struct sl_buf     body;        /* the request as it was translated for the attempt */
	struct sl_fault   refused;     /* why it cannot be translated; kind NONE: it can */
	struct sl_fault   last;        /* why the last attempt failed, while backing off */
	struct sl_attachments *attachments; /* that are fetched for the next attempt, or NULL */
	struct sl_fault   attach_fault;/* why one could not be; kind NONE: none failed */
	struct sl_timer   backoff;
	struct sl_timer   hedge_timer; /* until the running attempt counts as slow */
	struct sl_hedge  *hedge;       /* NULL: there was none (hedge.h) */
	struct sl_waiting waiting;     /* for room */
	struct sl_token_waiter token_waiter;
	struct sl_ask    *ask;
	/* While the hold of an attempt waits for the disk (spend.h). */
	void            (*on_held)(struct sl_ask *ask, enum sl_err err);
};

/* What the head of the request says, on the exchange's head and with it forgotten once
 * the answer has begun. */
struct sl_ask_head {
	unsigned char         id[SL_ULID_SIZE]; /* the bits of request_id */
	struct sl_slice       credential; /* as presented */
	struct sl_selection   selection;  /* what the caller chose besides the message */
	struct sl_shape_input input;      /* its body until the front is closed */
	struct sl_standing    standing;   /* what the decision says of the key's limits */
	struct sl_pace_place  pace;
	bool                  looked;     /* among the surface's pages (pages.c): */
	const struct sl_surface_page *page; /* for the path and method; NULL: none */
	const char           *page_allow; /* methods of the path's pages; NULL: there is none */
};

struct sl_response_find;
struct sl_usage_sums;

/* What the record will say that nothing else of the ask knows; ask.c puts the rest to
 * it at the end, so that a running stream does not hold everything twice. */
struct sl_ask_record {
	struct sl_slice    client_request_id, trace_id, end_user, model_requested, deployment,
	                   category, tag, translation, bids;
	int64_t            begin_wall_ms;
	int                status;
	enum sl_outcome    outcome;
	enum sl_fault_kind fault;
	uint32_t           attempts;
	uint64_t           bytes_in, upstream_us;
};

struct sl_ask {
	struct sl_gateway               *gateway;
	struct sl_exchange              *exchange;
	struct sl_world                 *world;
	const struct sl_surface_ops     *surface;
	const struct sl_shape_ops       *shape;
	struct sl_key                   *key;      /* NULL: none (keys off, or refused) */
	struct sl_tenancy                tenancy;  /* closed without a key */
	struct sl_ask_head              *head;     /* NULL once a stream or opaque reply began */
	const struct sl_surface_page    *page;       /* that is asked for; NULL: none */
	struct sl_usage_sums            *sums;       /* on their way for it; NULL: none */
	struct sl_response_find         *stored;     /* is being looked up; NULL: nothing is */
	struct sl_slice                  stored_id;  /* for it */
	enum sl_stored_page              stored_page;
	enum sl_ask_state                state;

	struct sl_ask_front             *front;    /* NULL once the reply is under way */

	/* The running attempt; a member added here belongs into hedge.c's list too. */
	struct sl_fetch                  fetch;
	struct sl_board_ticket           ticket;
	struct sl_spend                  spend;        /* its hold */
	struct sl_repeat                *repeat;       /* NULL: its answer is not kept */
	struct sl_drain                 *drain;        /* the caller is gone; read on */
	const struct sl_upstream        *upstream;
	uint64_t                         conversation; /* 0: not known (sticky.h) */
	const struct sl_model_card      *card;
	const struct sl_token_family    *counted_for;  /* NULL: its input was not counted here */
	int64_t                          counted_tokens;
	const struct sl_model_card      *baseline_card; /* what costs are compared with */
	struct sl_lane                  *lane;         /* NULL: the caller's bytes */
	enum sl_reply_mode               reply_mode;
	int                              answer_status; /* instead of upstream_status; 0: as that */
	int                              upstream_status;
	uint32_t                         retry_after_ms; /* as its reply says, 0: nothing */
	bool                             fetching;
	bool                             sent;         /* the provider may have seen it */
	bool                             paused;
	bool                             used_callers_credential;
	bool                             finished_upstream; /* the reply ended properly */
	bool                             finish_due;   /* complete, but bytes still wait */
	size_t                           key_index;    /* of ours, among the upstream's keys */
	struct sl_header                *reply_headers; /* to pass on; on the front's arena */
	size_t                           reply_header_count;
	struct sl_buf                    held;     /* reply bytes not sent yet */
	struct sl_frames                 frames;
	struct sl_stream_state           reply;    /* what was learnt of the reply */

	struct sl_decision               decision;
	struct sl_ask_record             record;
	uint64_t                         forward_ns; /* spent here before sending */
	uint64_t                         first_out_ns;
	uint64_t                         bytes_out;
	uint64_t                         attempt_ns;
	uint64_t                         entered_ns;   /* what is read of the reply came */
	enum sl_framing                  framing;
	bool                             stream;
	bool                             maybe_bought; /* a provider may have the request */
	bool                             unadmitted; /* for want of room, so far */
	bool                             rowless;  /* no room for its record: to be refused */
	bool                             whole;    /* it came in whole before it was answered */
	char                             request_id[4 + SL_ULID_LEN + 1];
};

struct sl_gateway {
	struct sl_loop           *loop;
	struct sl_client         *client;
	struct sl_services        services;
	struct sl_world          *world;
	struct sl_server_handler  handler;
	uint64_t                  turn;
	struct sl_list            drains;
	struct sl_pace            pace;
	size_t                    drain_count;
	size_t                    attaching;  /* fetches under way (attach.h) */
	struct sl_token_store    *tokens;
	struct sl_plan_names      names;
	struct sl_sealer          sealer;     /* of reasoning state (shapes/seal.h) */
};

/* ask.c */
struct sl_ask *sl_ask_new(struct sl_gateway *gateway, struct sl_exchange *exchange);
void sl_ask_set_state(struct sl_ask *ask, enum sl_ask_state state);
/* Answers with a fault in the caller's envelope, or, when the answer has begun,
 * with its stream's error event; then the ask is ANSWERED. Ends a running
 * attempt. fault's slices may be anywhere until the call returns. */
SL_COLD void sl_ask_refuse(struct sl_ask *ask, const struct sl_fault *fault);
/* Convenience with a literal message. */
SL_COLD void sl_ask_refuse_with(struct sl_ask *ask, enum sl_fault_kind kind, struct sl_slice message);
/* 503: the gateway is out of memory. */
SL_COLD void sl_ask_refuse_memory(struct sl_ask *ask);
/* 405 with the methods that would do: "POST". */
SL_COLD void sl_ask_refuse_method(struct sl_ask *ask, struct sl_slice allow);
/* A complete answer made here (model lists, preflight). */
void sl_ask_answer(struct sl_ask *ask, int status, struct sl_slice content_type,
                   struct sl_slice body);
/* 200 with JSON; refused when there was no memory to write it. */
void sl_ask_answer_json(struct sl_ask *ask, const struct sl_buf *body);
/* As sl_ask_answer with one more field; extra may be NULL. */
void sl_ask_answer_with(struct sl_ask *ask, int status, struct sl_slice content_type,
                        struct sl_slice body, const struct sl_header *extra);
/* Allocates the front. False: out of memory. */
bool sl_ask_open_front(struct sl_ask *ask);
/* The front's arena while there is one, else the exchange's. */
struct sl_arena *sl_ask_arena(struct sl_ask *ask);
/* The request's bytes and plan served their purpose: frees them. */
void sl_ask_close_front(struct sl_ask *ask);
/* The answer has begun: frees the request's head, keeping what the record says of it. */
void sl_ask_forget_head(struct sl_ask *ask);
/* Usage is final as far as it will ever be: fixes the cost in the decision. */
void sl_ask_settle(struct sl_ask *ask);
void sl_ask_gone(struct sl_ask *ask, enum sl_gone_reason why);

/* attempt.c: tries the next target, or answers with the best reason. */
void sl_attempt_next(struct sl_ask *ask, const struct sl_fault *last);
void sl_attempt_drop(struct sl_ask *ask);
/* Whether router.retries and the plan allow a further attempt. */
bool sl_attempt_may_go_on(const struct sl_ask *ask);
/* Sends to the target that was begun and is held for. False: *fault, and the hold and the
 * ticket are gone. True without ask->fetching: it waits for an access token. */
bool sl_attempt_launch(struct sl_ask *ask, struct sl_fault *fault);
/* The hold that the attempt waited for is there, or never will be. */
void sl_attempt_held(struct sl_ask *ask, enum sl_err err);
/* Tries the plan from its beginning, where no attempt is under way. last: why an attempt
 * failed before, or NULL. */
void sl_attempt_again(struct sl_ask *ask, const struct sl_fault *last);
/* Answers with the most useful reason. last NULL: no target had room. */
SL_COLD void sl_attempt_give_up(struct sl_ask *ask, const struct sl_fault *last);
/* Where attempts at the target count. */
struct sl_board_target *sl_attempt_place(const struct sl_ask *ask,
                                         const struct sl_plan_target *target);
/* Makes the target the one whose reply is handled, with nothing of it known yet. */
void sl_attempt_begin(struct sl_ask *ask, const struct sl_plan_target *target);
/* Makes what the attempt will send and tells its length. False: *fault says why it
 * cannot be made for this target. */
bool sl_attempt_size(struct sl_ask *ask, const struct sl_plan_target *target, int64_t *bytes,
                     struct sl_fault *fault);
/* What the attempt showed of its target: content came; it ended (the first
 * verdict counts). */
void sl_attempt_content(struct sl_ask *ask);
void sl_attempt_end(struct sl_ask *ask, enum sl_verdict verdict);
/* The provider refused or limited the key that was used: true when the same target is
 * next, with another one. */
bool sl_attempt_other_key(struct sl_ask *ask);
/* The request did not fit: true when the next target has a bigger window. */
bool sl_attempt_bigger_window(struct sl_ask *ask);
/* Keeps the held error reply if it tells more than the one that is kept. */
SL_COLD void sl_attempt_keep_error(struct sl_ask *ask);

/* credential.c: adds the fields that prove to the attempt's provider who asks,
 * where no fixed one does; fields is the request's array with room for max.
 * SL_AGAIN: front->token_waiter is called when to go on. */
enum sl_err sl_credential_put(struct sl_ask *ask, struct sl_fetch_request *request,
                              struct sl_header *fields, size_t max);

/* relay.c: the reply of an attempt. */
extern const struct sl_fetch_ops sl_relay_ops;
void sl_relay_drained(struct sl_ask *ask);
/* Room that ask->held may need: a reply to be read whole, or what a stream brings
 * before its first content or for a caller that reads slowly. */
size_t sl_relay_held_max(const struct sl_config_limits *limits);
/* Sends the whole reply that is held and read. */
void sl_relay_whole(struct sl_ask *ask);
/* Sends the error reply that is held, with its status. */
void sl_relay_error(struct sl_ask *ask);

/* fields.c: header fields between the two sides. */
size_t sl_fields_to_upstream(struct sl_ask *ask, const struct sl_upstream *upstream,
                             struct sl_header *out, size_t max, bool *used_callers_credential);
/* An error that says in its body how long to wait is as if a field had said it. */
void sl_fields_read_delay(struct sl_ask *ask);
size_t sl_fields_from_upstream(struct sl_ask *ask, const struct sl_headers *reply,
                               struct sl_header **out);
/* Whether a caller's credential could be all that the provider is asked with. */
bool sl_fields_may_be_callers(const struct sl_upstream *upstream);
/* Whether the provider is asked with the caller's credential: its account pays. */
bool sl_fields_callers_account(const struct sl_ask *ask, const struct sl_upstream *upstream);
/* The caller's query without a credential. */
struct sl_slice sl_fields_query(struct sl_ask *ask);

/* How the provider frames its stream. */
static inline enum sl_framing
sl_ask_framing(const struct sl_ask *ask)
{
	return ask->lane ? ask->lane->framing : ask->framing;
}

/* answer fields.c: adds x-request-id and CORS to what goes to the caller. */
size_t sl_fields_answer(const struct sl_ask *ask, struct sl_header *out, size_t count, size_t max);

/* pages.c: paths that the surface answers itself. True: it was one and is answered.
 * Before it is known who asks only the open ones. */
bool sl_pages_answer(struct sl_ask *ask, bool authenticated);
/* With the end of the request. True: it was for a page. */
bool sl_pages_run(struct sl_ask *ask);
void sl_pages_gone(struct sl_ask *ask);

/* gateway.c: reads the body as it now is, and goes on with it. */
void sl_ask_go_on(struct sl_ask *ask);
/* The request is complete, and need not wait for the writer of records (pace.h). */
void sl_gateway_begin(struct sl_ask *ask);

/* quota.c: into the decision, for a surface that tells it. */
void sl_quota_note(struct sl_ask *ask);

/* route.c: puts the instructions of the endpoint that was named, if one was and has
 * any, into the request that was read. False: *fault. */
bool sl_route_apply(struct sl_ask *ask, struct sl_fault *fault);

/* gateway.c: the request is here, and its limits may have room. */
void sl_gateway_admit(struct sl_ask *ask);

/* admission.c: the limits of the key and of those it belongs to. Once the key is known: */
void sl_admission_open(struct sl_ask *ask);
/* Takes a request, then what the body needs. False: refused and answered. */
bool sl_admission_head(struct sl_ask *ask);
bool sl_admission_body(struct sl_ask *ask);
/* Whether `requested` may go there; no provider: as far as the name tells. */
bool sl_admission_allows(const struct sl_ask *ask, struct sl_slice requested,
                         struct sl_slice provider, struct sl_slice model);
/* The end: what was really used is counted. */
void sl_admission_close(struct sl_ask *ask);

/* models.c: GET /v1/models and /v1beta/models. True: it was one and is answered. */
bool sl_models_answer(struct sl_ask *ask);

#endif
