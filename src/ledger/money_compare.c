/* money_compare.c - the ledger against the records of requests.
 *
 * Both are written by themselves, at different moments and in different forms: one by
 * what was held and settled, the other by what callers were told. A request is compared
 * when its record is there and all of its attempts have ended as they should.
 */
#include <stdio.h>

#include "base/rand.h"
#include "base/timestamp.h"
#include "ledger/money.h"
#include "store/store.h"

enum { SLACK_MS = 1000, MODEL_SHOWN = 64 };

struct compare {
	const struct sl_store_ops *ops;
	void                      *conn;
	struct sl_money_audit     *audit;
	enum sl_err                err;
	/* The request that is being looked at. */
	const struct sl_attempt_row *attempt;
	int64_t                    charged;
	bool                       whole; /* every attempt ended as it should */
};

static bool
add_attempt(void *context, const struct sl_attempt_row *row)
{
	struct compare *compare = context;

	compare->whole &= row->state == SL_ATTEMPT_SETTLED || row->state == SL_ATTEMPT_RELEASED;
	compare->charged += row->charged + row->overrun;
	return true;
}

static void
compare_record(void *context, const struct sl_record_row *record)
{
	struct compare *compare = context;
	int64_t cost = record->cost_nanousd == SL_RECORD_NULL ? 0 : record->cost_nanousd;
	char day[SL_TIMESTAMP_LEN + 1];

	compare->charged = 0;
	compare->whole = true;
	compare->err = compare->ops->money->attempt_of(compare->conn, compare->attempt->request,
	                                               record->begin_wall_ms - SLACK_MS,
	                                               record->end_wall_ms + SLACK_MS, add_attempt,
	                                               compare);
	if (compare->err != SL_OK || !compare->whole || compare->charged == cost)
		return;
	sl_timestamp_format(record->end_wall_ms, day);
	compare->audit->broken = "I7";
	snprintf(compare->audit->where, sizeof(compare->audit->where),
	         "%.*s on %.10s, %.*s: %lld charged, its record says %lld",
	         SL_ARG(record->request_id), day,
	         SL_ARG(sl_slice_upto(record->model_served, MODEL_SHOWN)),
	         (long long)compare->charged, (long long)cost);
}

/* Each request once, at its first attempt. */
static bool
look(void *context, const struct sl_attempt_row *row)
{
	struct compare *compare = context;
	char id[4 + SL_ULID_LEN + 1] = "req_";
	enum sl_err err;

	if (row->attempt_no != 1)
		return true;
	sl_ulid_text(row->request, id + 4);
	compare->attempt = row;
	err = compare->ops->record_find(compare->conn, sl_slice_str(id), SL_RECORD_NULL,
	                                compare_record, compare);
	if (err != SL_OK && err != SL_ENOTFOUND)
		compare->err = err;
	return compare->err == SL_OK && !compare->audit->broken;
}

enum sl_err
sl_money_compare(const struct sl_store_ops *ops, void *conn, struct sl_money_audit *audit)
{
	struct compare compare = { .ops = ops, .conn = conn, .audit = audit };
	enum sl_err err = ops->money->attempt_each(conn, false, look, &compare);

	return err == SL_OK ? compare.err : err;
}
