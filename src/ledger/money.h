/* money.h - hold, dispatch, settle: exact amounts under concurrency and crashes.
 *
 * A request touches a few scopes (its key, team, workspace ...). Before any upstream
 * byte a proven upper bound is held in all of them or in none; afterwards exactly the
 * cost is settled and the rest returns. Calls on the request path take one short lock
 * and never wait for a disk. Amounts are int64 nano-dollars; time is an argument.
 *
 *   (none) --hold--> WAITING --synced--> HELD --dispatched--> DISPATCHED
 *                       |                  |                    |     |
 *                    release            release              settle release
 *
 * The token (struct sl_hold) is the only thing that can be dispatched, and it is gone
 * with settle or release: a second one is an assertion, in release builds too.
 */
#ifndef SL_LEDGER_MONEY_H
#define SL_LEDGER_MONEY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "ledger/zone.h"
#include "model/usage.h"
#include "store/money_store.h"

struct sl_audit_entry; /* ledger/audit.h */
struct sl_store;
struct sl_store_ops;
struct sl_loop;
struct sl_money; /* shared: atomic */
struct sl_hold;  /* owner: whoever holds; one loop */

/* id, name; part of what is stored: append only. Others than WORKSPACE never pay
 * when a workspace is among a request's scopes. */
#define SL_SCOPE_KINDS(X)                                                             \
	X(KEY, "key")                                                                 \
	X(TEAM, "team")                                                               \
	X(WORKSPACE, "workspace")                                                     \
	X(END_USER, "end_user")                                                       \
	X(STACK, "stack")                                                             \
	X(TARGET, "target") /* where attempts go; no request's scope */
enum sl_scope_kind {
#define SL_SCOPE_ENUM(id, name) SL_SCOPE_##id,
	SL_SCOPE_KINDS(SL_SCOPE_ENUM)
#undef SL_SCOPE_ENUM
	SL_SCOPE_KIND_COUNT,
};
const char *sl_scope_kind_name(enum sl_scope_kind kind);

#define SL_MONEY_WINDOWS(X)                                                           \
	X(DAY, "daily")                                                               \
	X(WEEK, "weekly") /* from Monday */                                           \
	X(MONTH, "monthly")                                                           \
	X(TOTAL, "total")
enum sl_money_window {
#define SL_WINDOW_ENUM(id, name) SL_WINDOW_##id,
	SL_MONEY_WINDOWS(SL_WINDOW_ENUM)
#undef SL_WINDOW_ENUM
	SL_WINDOW_COUNT,
};

/* -1: no limit. Given with every hold, so that a change holds from the next one on. */
struct sl_money_limits {
	int64_t window[SL_WINDOW_COUNT];
	int64_t per_request;
	bool    prepaid;         /* of the scope that pays */
	int64_t minimum_balance; /* prepaid: below it nothing more is bought */
	const struct sl_zone *zone; /* whose calendar; NULL: UTC */
};
extern const struct sl_money_limits sl_money_unlimited;
/* The most that one hold may take from a prepaid balance of so much free credit: all of it
 * while the minimum is there. -1: no hold at all, however small. */
int64_t sl_money_spendable(const struct sl_money_limits *limits, int64_t available);

enum { SL_SCOPE_NAME_MAX = 128 };
struct sl_money_scope {
	enum sl_scope_kind            kind;
	struct sl_slice               name; /* at most SL_SCOPE_NAME_MAX bytes */
	const struct sl_money_limits *limits;
};

/* What becomes of an attempt whose end a crash hid. */
enum sl_unknown_policy {
	SL_UNKNOWN_PROGRESS, /* what it was known to cost, at most the hold */
	SL_UNKNOWN_HOLD,
	SL_UNKNOWN_RELEASE,
	SL_UNKNOWN_COUNTED,  /* what it was known to cost: nothing limits it */
};

/* A caller's name for the request (ledger/answers.h), to be found again after a crash. */
struct sl_money_claim {
	unsigned char name[SL_CLAIM_DIGEST_SIZE], digest[SL_CLAIM_DIGEST_SIZE];
	int64_t       expires_wall_ms;
};

struct sl_money_request {
	struct sl_money_scope  scopes[SL_MONEY_SCOPES_MAX];
	size_t                 scope_count; /* 1 or more; no two alike */
	int64_t                amount;      /* the bound; 0 or more */
	int64_t                now_wall_ms;
	unsigned char          request_id[16]; /* a label of the row, ours */
	uint32_t               attempt_no;
	uint32_t               price_version;  /* 20260702: date of the price list */
	uint32_t               target;         /* of sl_money_target; 0: not known */
	/* Nothing limits any of the scopes: amount is held where it is known (0: it is not),
	 * but whatever it costs is charged, and many share a row (money_slip.c). */
	bool                   unlimited;
	enum sl_unknown_policy policy; /* unless unlimited */
	const struct sl_money_claim *claim; /* recorded with the hold; NULL: none */
	/* For SL_AGAIN: called once the hold may be dispatched (SL_OK), or when it never
	 * will (an error; the hold is still to be released). loop NULL: on the log thread. */
	struct sl_loop        *loop;
	void                 (*ready)(struct sl_hold *hold, enum sl_err err);
	void                  *user;
};

enum sl_refused_by {
	SL_REFUSED_DAY, SL_REFUSED_WEEK, SL_REFUSED_MONTH, SL_REFUSED_TOTAL, /* as the windows */
	SL_REFUSED_PER_REQUEST,
	SL_REFUSED_BALANCE, /* prepaid credit is too low */
	SL_REFUSED_STORE,   /* 503: the disk refuses writes, or the journal failed */
	SL_REFUSED_BUSY,    /* 503: too much is in flight */
};
const char *sl_refused_by_name(enum sl_refused_by by); /* "daily", ..., "store" */
struct sl_money_refusal {
	enum sl_refused_by by;
	size_t             scope;   /* index in the request's scopes */
	int64_t            limit, used, needed; /* used: spent and held */
	int64_t            held;    /* of it, by attempts in flight: may come back soon */
	int64_t            resets_wall_ms; /* start of the window's next period; 0: never */
	uint32_t           retry_after_s;  /* 0: waiting does not help */
};

/* SL_OK: *hold may be dispatched. SL_AGAIN: it may be after ready(). SL_ELIMIT: a limit
 * refused it and nothing changed; *why says which. SL_EBUSY, SL_EFULL: it cannot be
 * recorded now (503); *why too. SL_EINVAL: no scope, a negative amount, a long name. */
enum sl_err sl_money_hold(struct sl_money *money, const struct sl_money_request *request,
                          struct sl_hold **hold, struct sl_money_refusal *why);
void *sl_hold_user(const struct sl_hold *hold);
int64_t sl_hold_amount(const struct sl_hold *hold);
const unsigned char *sl_hold_attempt_id(const struct sl_hold *hold); /* 16 bytes */
/* Right before the first body byte goes out. floor: what the input alone costs, for a
 * crash before any progress. */
void sl_money_dispatched(struct sl_hold *hold, int64_t floor);
/* What it costs so far, about once a second. Left out when the ring is short of room. */
void sl_money_progress(struct sl_hold *hold, int64_t cost);
/* The end, with its cost. What exceeds the hold goes to the operator's overrun book and
 * the log. The token is gone. Returned is the mark that was asked for, 0 if there is no room
 * for one: a crash before it is unmarked has taken the request's record, if none is found. */
struct sl_money_settlement {
	int64_t              cost;
	int64_t              now_wall_ms;
	enum sl_usage_source source;
	int64_t              input_tokens, output_tokens;
	bool                 own_row; /* the request has other attempts, or may have */
	bool                 mark;    /* a record of the request is to come */
};
uint32_t sl_money_settle(struct sl_hold *hold, const struct sl_money_settlement *settlement);
/* The record of its request is where a crash does not take it, or another mark of the
 * request stands. Any thread; 0 is fine. */
void sl_money_unmark(struct sl_money *money, uint32_t mark);
/* Nothing was bought. The token is gone; ready() is not called any more. */
void sl_money_release(struct sl_hold *hold, int64_t now_wall_ms);
/* The claim needs no memory any more: its answer is stored, or the name is free. Left out
 * when the ring is short of room: an answer counts more, and the claim expires. */
void sl_money_unclaim(struct sl_money *money, const struct sl_money_claim *claim,
                      const unsigned char request_id[16]);

/* --- what stands ---------------------------------------------------------------------- */

struct sl_money_standing {
	int64_t spent[SL_WINDOW_COUNT], held[SL_WINDOW_COUNT]; /* of the periods of now */
	int64_t available; /* prepaid: free credit */
};
/* Zeros for a scope that never spent. */
void sl_money_standing(struct sl_money *money, enum sl_scope_kind kind, struct sl_slice name,
                       const struct sl_zone *zone, int64_t now_wall_ms,
                       struct sl_money_standing *out);
/* The number of a provider and its model in the rows of attempts; model may be empty. Does
 * not change while the store lives. 0: there is no room. */
uint32_t sl_money_target(struct sl_money *money, struct sl_slice provider,
                         struct sl_slice model);
/* Its number in the rows of attempts; 0: it never spent. */
uint32_t sl_money_owner(struct sl_money *money, enum sl_scope_kind kind, struct sl_slice name);
struct sl_money_totals {
	int64_t  open_holds, held, overrun;
	uint64_t appended, folded; /* journal records, and ends that will become some */
};
void sl_money_totals(struct sl_money *money, struct sl_money_totals *out);

/* --- administration: done is called once it is durable, on loop, or with NULL on the
 * store's thread -------------------------------------------------------------------- */

enum sl_credit_kind { SL_CREDIT_TOPUP, SL_CREDIT_REFUND, SL_CREDIT_CORRECTION, SL_CREDIT_VOUCHER };
struct sl_money_credit {
	enum sl_credit_kind kind;
	struct sl_slice     workspace;
	struct sl_slice     external_id; /* applied once; a voucher's code */
	int64_t             amount;      /* correction: may be negative; voucher: filled in */
	int64_t             now_wall_ms;
	struct sl_loop     *loop;
	const struct sl_audit_entry *audit; /* written in its transaction; NULL: none */
	/* err: SL_EEXIST applied before; SL_EDUPLICATE applied before, but another amount or
	 * to another workspace; SL_ENOTFOUND no such voucher; SL_ETIMEDOUT it
	 * expired; SL_ELIMIT the balance would fall below zero. What is pointed at must live
	 * until then. */
	enum sl_err         err;
	void              (*done)(struct sl_money_credit *credit);
	void               *user;
};
enum sl_err sl_money_credit(struct sl_money *money, struct sl_money_credit *credit);
/* Makes a voucher of a code (long and random: it is money). */
struct sl_money_voucher {
	struct sl_slice     code;
	int64_t             amount, expires_wall_ms; /* 0: never */
	const struct sl_audit_entry *audit;
	int64_t             now_wall_ms;
	struct sl_loop     *loop;
	enum sl_err         err; /* SL_EEXIST: there is one of this code */
	void              (*done)(struct sl_money_voucher *voucher);
	void               *user;
};
enum sl_err sl_money_voucher(struct sl_money *money, struct sl_money_voucher *voucher);

/* --- life ------------------------------------------------------------------------------- */

enum sl_durability { SL_DURABLE_LEASE, SL_DURABLE_STRICT, SL_DURABLE_RELAXED };
struct sl_money_options {
	enum sl_durability durability;
	const char        *journal_path; /* files path.0, path.1 */
	const char        *ring_path;    /* NULL: journal_path.ring */
	uint32_t           ring_slots;   /* 0: 65536; a power of two */
	uint32_t           segment_records; /* 0: 65536 */
	uint32_t           sync_ms;      /* 0: 5 */
	int64_t            now_wall_ms;
};
struct sl_money_recovery {
	uint64_t replayed, released, settled;
	uint64_t found; /* slips: attempts that no record tells of */
	uint64_t records; /* of requests, that the crash took and that were written anew */
	int64_t  charged;
	uint64_t took_us;
};
/* Recovers, then is ready for traffic; blocking, before the loops run. NULL: *reason
 * says what to change. recovery may be NULL. The store must outlive it. */
struct sl_money *sl_money_open(struct sl_store *store, const struct sl_money_options *options,
                               struct sl_money_recovery *recovery, const char **reason);
/* Folds what waits, then ends. No hold may be open: each is the caller's to end; those
 * left are resolved at the next start as after a crash. True: everything is in the
 * store, and the ring may be removed. NULL is fine. */
bool sl_money_close(struct sl_money *money);
/* So many settled attempts wait for the journal to be written that new ones may soon find
 * no slip, and be refused. Any thread. */
bool sl_money_behind(struct sl_money *money);

/* --- audit --------------------------------------------------------------------------------- */

struct sl_money_audit {
	int64_t     owners, books, entries, attempts, open, topped_up, charged, overrun;
	const char *broken;   /* NULL: all invariants hold; else which, static */
	char        where[160]; /* the first bad row */
};
/* I1-I8 on a reading connection; one read transaction. */
enum sl_err sl_money_verify(const struct sl_store_ops *ops, void *conn, int64_t now_wall_ms,
                            struct sl_money_audit *audit);
/* The other half of I7: what each request's record says it cost is what its attempts were
 * charged, so that totals by provider, model and day are the same in both. Requests whose
 * record or end a crash took are left out. On a reading connection; fills broken and where
 * when it does not hold. */
enum sl_err sl_money_compare(const struct sl_store_ops *ops, void *conn,
                             struct sl_money_audit *audit);

#endif
