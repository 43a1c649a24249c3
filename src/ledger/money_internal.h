/* money_internal.h - what the money_*.c files share.
 *
 * One lock guards accounts, holds and the appending of records, so that the order of
 * the journal is the order of what happened. It is held for well under a microsecond
 * and never across a system call but the waking of a sleeping log thread.
 */
#ifndef SL_LEDGER_MONEY_INTERNAL_H
#define SL_LEDGER_MONEY_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "ledger/money.h"
#include "ledger/money_fold.h"
#include "ledger/money_record.h"
#include "net/loop.h"

enum {
	MONEY_BUCKETS = 4096,    /* at first; doubled as accounts come */
	MONEY_SLOTS = 6,         /* periods kept of each window: clocks may step by a day */
	MONEY_OWNERS_MAX = 1 << 20,
	HOLD_RECORDS = 2,        /* slots of the ring each open hold has in reserve */
	FOLD_BATCH = 16384,      /* records in one transaction */
	MONEY_SLIPS = 16384,     /* attempts without a limit, in flight or not yet in a record */
};

struct period_sum {
	int32_t period;
	bool    used;
	int64_t spent, held;
};

/* One scope. Guarded by the lock. */
struct account {
	struct account   *next;
	uint32_t          number;
	enum sl_scope_kind kind;
	uint8_t           name_len;
	struct period_sum sums[SL_WINDOW_TOTAL][MONEY_SLOTS];
	/* Where the periods of the day are that was asked for last; placed: all of them are. */
	bool              placed;
	uint8_t           slot[SL_WINDOW_TOTAL];
	int32_t           day;
	struct period_sum total;
	int64_t           available; /* prepaid credit that is not held */
	/* How far total.spent + total.held may go: what is durable, and what was asked for
	 * with a record that is on its way to the disk. */
	int64_t           lease_mark, lease_asked;
	uint64_t          lease_seq;
	int64_t           lease_block, lease_wall_ms; /* its size; when it was asked for */
	char              name[];
};

enum hold_state { HOLD_FREE, HOLD_WAITING, HOLD_HELD, HOLD_DISPATCHED };

struct sl_hold {
	struct sl_money    *money;
	enum hold_state     state;
	struct sl_list      node;      /* WAITING: in money->waiting; FREE: in money->spare */
	struct account     *account[SL_MONEY_SCOPES_MAX]; /* the first pays */
	uint8_t             slot[SL_MONEY_SCOPES_MAX][SL_WINDOW_TOTAL]; /* of the account's sums */
	uint8_t             scope_count;
	struct money_hold   record;
	uint8_t             flags, policy;
	bool                unlimited;
	bool                recorded; /* in the journal from its beginning */
	struct money_slip  *slip;     /* where nothing limits it; NULL: none */
	int64_t             progress;
	uint64_t            wait_seq;
	enum sl_err         outcome;  /* of the wait */
	bool                posted, abandoned;
	struct sl_task      task;
	struct sl_loop     *loop;
	void              (*ready)(struct sl_hold *hold, enum sl_err err);
	void               *user;
};

struct slab {
	struct slab   *next;
	struct sl_hold holds[64];
};

/* By index; lists end with UINT32_MAX. */
struct money_slips {
	struct money_board *board;
	uint32_t            next[MONEY_SLIPS]; /* of who has the slip's list */
	uint32_t            free, settled;     /* lists */
	size_t              settled_count;     /* in the list */
	atomic_size_t       unrecorded;        /* settled, in no record yet; changed under the lock */
	uint64_t            gathered_ns;
};

struct sl_money {
	struct sl_store        *store;
	struct sl_journal      *journal;
	enum sl_durability      durability;
	pthread_mutex_t         lock; /* guards what follows */
	struct account        **buckets;
	size_t                  bucket_count, account_count;
	uint32_t                next_number;
	struct sl_list          waiting; /* by wait_seq */
	struct sl_list          spare;
	struct slab            *slabs;
	int64_t                 open_holds, held, overrun;
	int64_t                 recorded_holds; /* of the open ones */
	uint64_t                synced;
	bool                    failed; /* the journal can take no more */
	struct money_slips      slips;
	/* Folding. */
	struct sl_money_fold   *fold;    /* owner: store thread */
	struct sl_journal_record *batch; /* owner: store thread */
	struct sl_store_job     fold_job;
	uint64_t                fold_from, fold_upto; /* of the running job */
	atomic_bool             folding;
	atomic_uint_fast64_t    folded;
	uint64_t                fold_retry_ns; /* owner: log thread */
	bool                    fold_now;      /* guarded by fold_lock */
	pthread_mutex_t         fold_lock;
	pthread_cond_t          fold_done;
};

/* money_account.c */
/* Finds, or makes with a record of its own; NULL: no memory or no room. */
struct account *money_account(struct sl_money *money, enum sl_scope_kind kind,
                              struct sl_slice name);
struct account *money_account_find(struct sl_money *money, enum sl_scope_kind kind,
                                   struct sl_slice name);
/* At start: an account as stored. */
struct account *money_account_restore(struct sl_money *money,
                                      const struct sl_money_owner_row *row);
/* The sum of a period; made when there is none, in the place of the oldest one that
 * nothing is held in. */
struct period_sum *money_sum(struct account *account, enum sl_money_window window,
                             int32_t period);
/* Where the sums of a day's periods are, made as above. */
void money_slots(struct account *account, int32_t day, uint8_t slot[SL_WINDOW_TOTAL]);
/* -1, or the window that cannot take the amount. */
int money_over(const struct account *account, const uint8_t slot[SL_WINDOW_TOTAL],
               const struct sl_money_limits *limits, int64_t amount);
/* Records fit beside those that open holds have in reserve. */
bool money_room(const struct sl_money *money, size_t records);

/* money_slip.c: under the lock. */
bool money_slip_take(struct sl_hold *hold); /* false: none is free */
/* Without it: an open hold's slip is its owner's alone. */
void money_slip_dispatched(struct sl_hold *hold);
void money_slip_progress(struct sl_hold *hold);
/* Its end, whose record of its own will be that of the sequence; settlement NULL: released. */
void money_slip_ends(struct sl_hold *hold, const struct sl_money_settlement *settlement,
                     uint64_t seq);
/* They return marks. */
uint32_t money_slip_settle(struct sl_hold *hold, const struct sl_money_settlement *settlement);
/* Behind money_slip_ends and the records. */
uint32_t money_slip_mark(struct sl_hold *hold, bool wanted);
/* For an attempt without a slip whose end will be the record of the sequence; 0: none is
 * free. */
uint32_t money_mark_take(struct sl_hold *hold, const struct sl_money_settlement *settlement,
                         uint64_t seq);
void money_slip_release(struct sl_hold *hold);
/* Without it: settled ones become records when it is time, or all, as far as there is
 * room. */
void money_slips_gather(struct sl_money *money, bool all);
/* At start: what the last process left, if it was not resolved; then none. */
size_t money_board_size(void);
void money_slips_open(struct sl_money *money, uint64_t resolved_epoch,
                      struct sl_money_left *left);
void money_slips_begin(struct sl_money *money, uint64_t epoch);

/* money_open.c: the sink of the journal. */
void money_advanced(void *context, uint64_t written, uint64_t synced);
void money_journal_failed(void *context);
/* money.c: under the lock. */
void money_wake_waiting(struct sl_money *money, enum sl_err err);

#endif
