/* money_store.h - what the ledger asks of a store: rows in, rows out.
 *
 * Small blocking calls on the store thread, inside the transaction of a job. What
 * they mean is the ledger's business (ledger/money_fold.c); a store keeps rows and
 * refuses the second row of one name. All amounts are int64 nano-dollars.
 *
 * A book is one account of the double entry: number = 8 * owner + part. Owner 0 is
 * the operator; other owners are the numbered scopes (keys, teams, workspaces).
 */
#ifndef SL_STORE_MONEY_STORE_H
#define SL_STORE_MONEY_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum { SL_ATTEMPT_ID_SIZE = 16, SL_CHAIN_SIZE = 32, SL_MONEY_SCOPES_MAX = 5,
       SL_CLAIM_DIGEST_SIZE = 32 };

enum sl_book_part { /* of an owner */
	SL_BOOK_AVAILABLE, /* prepaid credit; never below zero */
	SL_BOOK_HELD,      /* of it, for open attempts */
	SL_BOOK_OWED,      /* without prepayment: minus what is to be paid */
	SL_BOOK_OWED_HELD,
	SL_BOOK_PARTS = 8,
};
enum sl_operator_book { /* of owner 0 */
	SL_BOOK_TOPUP,   /* minus all that was paid in */
	SL_BOOK_COST,    /* all that was used */
	SL_BOOK_OVERRUN, /* minus what cost more than its hold */
	SL_BOOK_PROMO,   /* minus vouchers */
	SL_BOOK_CORRECTION,
};

#define SL_ATTEMPT_STATES(X)                                                          \
	X(HELD, "held")                                                               \
	X(DISPATCHED, "dispatched")                                                   \
	X(SETTLED, "settled")                                                         \
	X(RELEASED, "released")                                                       \
	X(UNKNOWN_SETTLED, "settled_by_policy") /* a crash left it UNKNOWN */
enum sl_attempt_state {
#define SL_ATTEMPT_ENUM(id, name) SL_ATTEMPT_##id,
	SL_ATTEMPT_STATES(SL_ATTEMPT_ENUM)
#undef SL_ATTEMPT_ENUM
	SL_ATTEMPT_STATE_COUNT,
};

struct sl_money_owner_row {
	uint32_t        number;
	uint8_t         kind; /* enum sl_scope_kind of ledger/money.h */
	struct sl_slice name;
	int64_t         lease_mark;
};

struct sl_book_row {
	int64_t       book;
	int64_t       balance, entries;
	unsigned char chain[SL_CHAIN_SIZE]; /* of its last entry; zeros before the first */
};

struct sl_entry_row {
	int64_t         id;    /* set by the store */
	int64_t         event; /* entries of one event sum to zero */
	int64_t         book, amount, balance; /* balance: after it */
	int64_t         wall_ms;
	struct sl_slice kind;      /* "hold", "settle", "topup" ... */
	struct sl_slice reference; /* attempt id (16 bytes) or external id */
	unsigned char   chain[SL_CHAIN_SIZE];
};

struct sl_attempt_row {
	unsigned char id[SL_ATTEMPT_ID_SIZE];
	unsigned char request[16];
	uint32_t      attempt_no, price_version;
	uint8_t       state, policy, usage_source, prepaid, scope_count;
	uint32_t      owner[SL_MONEY_SCOPES_MAX]; /* the first pays */
	int32_t       day[SL_MONEY_SCOPES_MAX];   /* local, days since 1970 */
	int64_t       held, progress, charged, overrun;
	int64_t       input_tokens, output_tokens;
	int64_t       begin_wall_ms, end_wall_ms;
	uint32_t      target; /* an owner's number, whose name is PROVIDER/MODEL; 0: unknown */
};

struct sl_spent_row {
	uint32_t owner;
	uint8_t  window; /* enum sl_money_window of ledger/money.h */
	int32_t  period;
	int64_t  amount;
};

struct sl_voucher_row {
	struct sl_slice code_digest; /* 32 bytes */
	int64_t         amount;
	uint32_t        used_by; /* owner; 0: not used */
	int64_t         expires_wall_ms; /* 0: never */
};

/* A request with an Idempotency-Key that was bought and has no answer yet. */
struct sl_claim_row {
	struct sl_slice name, digest; /* digests, as of an answer */
	unsigned char   request[16];
	int64_t         expires_wall_ms;
	int64_t         charged; /* after a crash: for it; -1: it was not asked for yet */
};

struct sl_money_ops {
	enum sl_err (*owner_put)(void *conn, const struct sl_money_owner_row *row); /* by number */
	enum sl_err (*owner_get)(void *conn, uint32_t number, /* SL_ENOTFOUND */
	                         void (*found)(void *, const struct sl_money_owner_row *),
	                         void *context);
	enum sl_err (*owner_each)(void *conn, bool (*each)(void *, const struct sl_money_owner_row *),
	                          void *context);
	/* The mark never falls. */
	enum sl_err (*lease_put)(void *conn, uint32_t number, int64_t mark);
	/* Zeroed, with the book's number, when there is none. */
	enum sl_err (*book_get)(void *conn, int64_t book, struct sl_book_row *row);
	enum sl_err (*book_put)(void *conn, const struct sl_book_row *row);
	enum sl_err (*book_each)(void *conn, bool (*each)(void *, const struct sl_book_row *),
	                         void *context);
	enum sl_err (*entry_add)(void *conn, const struct sl_entry_row *row);
	/* In the order of ids. book < 0: of every book. */
	enum sl_err (*entry_each)(void *conn, int64_t book, int64_t since_wall_ms,
	                          bool (*each)(void *, const struct sl_entry_row *), void *context);
	enum sl_err (*attempt_add)(void *conn, const struct sl_attempt_row *row); /* SL_EEXIST */
	/* An open attempt's state, hold, progress and end; SL_ENOTFOUND when it is not open. */
	enum sl_err (*attempt_update)(void *conn, const struct sl_attempt_row *row);
	enum sl_err (*attempt_each)(void *conn, bool open_only,
	                            bool (*each)(void *, const struct sl_attempt_row *),
	                            void *context);
	/* Those of a request that began in [since, until], in their order. */
	enum sl_err (*attempt_of)(void *conn, const unsigned char request[16], int64_t since_wall_ms,
	                          int64_t until_wall_ms,
	                          bool (*each)(void *, const struct sl_attempt_row *),
	                          void *context);
	enum sl_err (*spent_add)(void *conn, const struct sl_spent_row *row);
	/* By owner, window, period. */
	enum sl_err (*spent_each)(void *conn, bool (*each)(void *, const struct sl_spent_row *),
	                          void *context);
	/* SL_EEXIST: this external id was applied before; SL_EDUPLICATE: it was, with another
	 * amount or for another owner. */
	enum sl_err (*credit_add)(void *conn, struct sl_slice external_id, uint32_t owner,
	                          int64_t amount, int64_t wall_ms);
	enum sl_err (*voucher_add)(void *conn, const struct sl_voucher_row *row);
	/* SL_ENOTFOUND: none of this code; SL_EEXIST: it was used; SL_ETIMEDOUT: it expired.
	 * *amount is what it is worth. */
	enum sl_err (*voucher_use)(void *conn, struct sl_slice code_digest, uint32_t owner,
	                           int64_t now_wall_ms, int64_t *amount);
	enum sl_err (*claim_put)(void *conn, const struct sl_claim_row *row); /* by name */
	/* If it is that request's. */
	enum sl_err (*claim_drop)(void *conn, struct sl_slice name, const unsigned char request[16]);
	enum sl_err (*claim_each)(void *conn, bool (*each)(void *, const struct sl_claim_row *),
	                          void *context);
	enum sl_err (*claim_trim)(void *conn, int64_t now_wall_ms); /* removes those that ended */
	/* Makes the order of id: the next event's number. */
	enum sl_err (*event_next)(void *conn, int64_t *event);
};

const char *sl_attempt_state_name(enum sl_attempt_state state);

#endif
