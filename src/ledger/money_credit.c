/* money_credit.c - money comes in: top-ups, refunds, corrections, vouchers.
 *
 * Each is one transaction on the store thread: the external id (once for ever), the
 * entries, the balance. Memory learns of it when it is durable, so credit is never
 * spent that a crash could take back. A negative correction takes the credit out of
 * memory first, for the same reason.
 */
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "ledger/audit.h"
#include "ledger/money_internal.h"
#include "store/store.h"

enum { VOUCHER_MIN = 16, EXTERNAL_ID_MAX = 128 };
#define CREDIT_MAX (INT64_MAX / 4096)

struct credit_job {
	struct sl_store_job     job;
	struct sl_money        *money;
	struct sl_money_credit *credit;
	struct account         *account;
	int64_t                 taken; /* out of memory already */
	unsigned char           digest[32];
	struct sl_task          task;
};

static void
run_credit(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct credit_job *work = SL_CONTAINER(job, struct credit_job, job);
	struct sl_money_credit *credit = work->credit;
	const struct sl_money_owner_row owner = { .number = work->account->number,
		                                  .kind = (uint8_t)work->account->kind,
		                                  .name = credit->workspace };
	/* The journal may not have brought the number yet. */
	enum sl_err err = ops->money->owner_put(conn, &owner);

	if (err == SL_OK && credit->kind == SL_CREDIT_VOUCHER)
		err = ops->money->voucher_use(conn, sl_slice_make(work->digest, 32), owner.number,
		                              credit->now_wall_ms, &credit->amount);
	else if (err == SL_OK)
		err = ops->money->credit_add(conn, credit->external_id, owner.number,
		                             credit->amount, credit->now_wall_ms);
	if (err == SL_OK)
		err = sl_money_fold_credit(work->money->fold, ops, conn, credit, owner.number);
	if (err == SL_OK && credit->audit)
		err = sl_audit_add(ops, conn, credit->audit, credit->now_wall_ms);
	job->err = err;
}

static void
tell(struct sl_task *task)
{
	struct credit_job *work = SL_CONTAINER(task, struct credit_job, task);
	struct sl_money_credit *credit = work->credit;

	free(work);
	if (credit->done)
		credit->done(credit);
}

static void
settle_memory(struct credit_job *work, enum sl_err err)
{
	work->credit->err = err;
	pthread_mutex_lock(&work->money->lock);
	work->account->available += work->taken;
	if (err == SL_OK)
		work->account->available += work->credit->amount;
	pthread_mutex_unlock(&work->money->lock);
}

/* On the store thread. */
static void
credit_done(struct sl_store_job *job)
{
	struct credit_job *work = SL_CONTAINER(job, struct credit_job, job);

	settle_memory(work, job->err);
	work->task.run = tell;
	if (work->credit->loop)
		sl_loop_post(work->credit->loop, &work->task);
	else
		tell(&work->task);
}

static enum sl_err
prepare(struct sl_money *money, struct sl_money_credit *credit, struct credit_job *work)
{
	bool voucher = credit->kind == SL_CREDIT_VOUCHER;
	enum sl_err err = SL_OK;

	if (credit->workspace.len > SL_SCOPE_NAME_MAX || credit->external_id.len == 0 ||
	    credit->external_id.len > EXTERNAL_ID_MAX || credit->amount > CREDIT_MAX ||
	    credit->amount < (credit->kind == SL_CREDIT_CORRECTION ? -CREDIT_MAX : 0))
		return SL_EINVAL;
	*work = (struct credit_job){ .job = { .run = run_credit, .done = credit_done },
		                     .money = money, .credit = credit };
	if (voucher)
		sl_sha256(credit->external_id, work->digest);
	pthread_mutex_lock(&money->lock);
	work->account = money_account(money, SL_SCOPE_WORKSPACE, credit->workspace);
	if (!work->account)
		err = SL_EBUSY;
	else if (!voucher && credit->amount < 0 && work->account->available < -credit->amount)
		err = SL_ELIMIT;
	else if (!voucher && credit->amount < 0)
		work->taken = -credit->amount;
	if (err == SL_OK)
		work->account->available -= work->taken;
	pthread_mutex_unlock(&money->lock);
	return err;
}

enum sl_err
sl_money_credit(struct sl_money *money, struct sl_money_credit *credit)
{
	struct credit_job *work = malloc(sizeof(*work));
	enum sl_err err = work ? prepare(money, credit, work) : SL_ENOMEM;

	if (err == SL_OK) {
		err = sl_store_submit(money->store, &work->job);
		if (err == SL_OK)
			return SL_OK;
		settle_memory(work, err);
	}
	free(work);
	return err;
}

/* --- vouchers ---------------------------------------------------------------------- */

struct voucher_job {
	struct sl_store_job      job;
	struct sl_money_voucher *voucher;
	unsigned char            digest[32];
	struct sl_task           task;
};

static void
run_voucher(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct voucher_job *work = SL_CONTAINER(job, struct voucher_job, job);
	const struct sl_money_voucher *voucher = work->voucher;
	const struct sl_voucher_row row = { .code_digest = sl_slice_make(work->digest, 32),
		                            .amount = voucher->amount,
		                            .expires_wall_ms = voucher->expires_wall_ms };

	job->err = ops->money->voucher_add(conn, &row);
	if (job->err == SL_OK && voucher->audit)
		job->err = sl_audit_add(ops, conn, voucher->audit, voucher->now_wall_ms);
}

static enum sl_err
prepare_voucher(struct sl_money_voucher *voucher, struct voucher_job *work)
{
	if (voucher->code.len < VOUCHER_MIN || voucher->code.len > EXTERNAL_ID_MAX ||
	    voucher->amount <= 0 || voucher->amount > CREDIT_MAX)
		return SL_EINVAL;
	*work = (struct voucher_job){ .job.run = run_voucher, .voucher = voucher };
	sl_sha256(voucher->code, work->digest);
	return SL_OK;
}

static void
tell_voucher(struct sl_task *task)
{
	struct voucher_job *work = SL_CONTAINER(task, struct voucher_job, task);
	struct sl_money_voucher *voucher = work->voucher;

	free(work);
	voucher->done(voucher);
}

static void
voucher_done(struct sl_store_job *job)
{
	struct voucher_job *work = SL_CONTAINER(job, struct voucher_job, job);

	work->voucher->err = job->err;
	work->task.run = tell_voucher;
	if (work->voucher->loop)
		sl_loop_post(work->voucher->loop, &work->task);
	else
		tell_voucher(&work->task);
}

enum sl_err
sl_money_voucher(struct sl_money *money, struct sl_money_voucher *voucher)
{
	struct voucher_job *work = malloc(sizeof(*work));
	enum sl_err err = work ? prepare_voucher(voucher, work) : SL_ENOMEM;

	if (err == SL_OK) {
		work->job.done = voucher_done;
		err = sl_store_submit(money->store, &work->job);
	}
	if (err != SL_OK)
		free(work);
	return err;
}
