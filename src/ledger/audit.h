/* audit.h - what operators changed: append-only, each row chained to the one before.
 *
 * A row is written in the transaction of the change that it tells of, so there is no
 * change without one. Its chain is SHA-256 over the chain before it and every field:
 * a row that is altered, moved or taken out breaks all that follow.
 */
#ifndef SL_LEDGER_AUDIT_H
#define SL_LEDGER_AUDIT_H

#include "store/store.h"
#include "store/tenant_store.h"

enum { SL_AUDIT_ACTOR_MAX = 128 };

struct sl_audit_entry {
	struct sl_slice actor;  /* at most SL_AUDIT_ACTOR_MAX bytes are kept */
	struct sl_slice action; /* "key.create" */
	struct sl_slice target; /* the id or slug of what was changed */
	struct sl_slice before_json, after_json; /* without secrets; empty: nothing */
};

/* On the store thread, in a job's transaction. */
enum sl_err sl_audit_add(const struct sl_store_ops *ops, void *conn,
                         const struct sl_audit_entry *entry, int64_t now_wall_ms);

struct sl_audit_check {
	int64_t     rows;
	int64_t     bad_id; /* the first bad row; 0: the chain holds */
	const char *why;    /* static; NULL: it holds */
};
/* Walks the whole log. An error only when it cannot be read. */
enum sl_err sl_audit_verify(const struct sl_store_ops *ops, void *conn,
                            struct sl_audit_check *check);

#endif
