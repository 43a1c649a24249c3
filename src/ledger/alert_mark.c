/* alert_mark.c - marks of alerts, in the store. */
#include "ledger/alert_mark.h"

#include "store/tenant_store.h"

static void
run_mark(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	const struct sl_alert_mark *mark = SL_CONTAINER(job, struct sl_alert_mark, job);

	job->err = ops->tenants->alert_mark(conn, mark->id, mark->now_wall_ms);
}

static void
mark_done(struct sl_store_job *job)
{
	struct sl_alert_mark *mark = SL_CONTAINER(job, struct sl_alert_mark, job);

	mark->err = job->err;
	mark->done(mark);
}

enum sl_err
sl_alert_mark(struct sl_store *store, struct sl_alert_mark *mark)
{
	mark->job = (struct sl_store_job){ .loop = mark->loop, .run = run_mark, .done = mark_done };
	return sl_store_submit(store, &mark->job);
}
