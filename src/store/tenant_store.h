/* tenant_store.h - what a store keeps of teams and workspaces, and the audit log.
 *
 * Small blocking calls on the store thread, inside the transaction of a job. What they
 * mean is the ledger's business (ledger/tenants.h, ledger/audit.h).
 */
#ifndef SL_STORE_TENANT_STORE_H
#define SL_STORE_TENANT_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct sl_tenant_row {
	uint8_t         kind; /* enum sl_scope_kind of ledger/money.h */
	struct sl_slice slug, policy_json;
	int64_t         created_wall_ms;
};

enum { SL_AUDIT_CHAIN_SIZE = 32 };

/* One change by an operator. Never changed, never removed. */
struct sl_audit_row {
	int64_t         id; /* set by the store: 1, 2, 3 ... */
	int64_t         wall_ms;
	struct sl_slice actor, action, target; /* who; "key.create"; the id or slug */
	struct sl_slice before_json, after_json; /* without secrets; empty: nothing was, is */
	unsigned char   chain[SL_AUDIT_CHAIN_SIZE]; /* over this row and the chain before it */
};

struct sl_tenant_ops {
	/* Appends. SL_ENOTFOUND: there is none. */
	enum sl_err (*tenant_get)(void *conn, uint8_t kind, struct sl_slice slug,
	                          struct sl_buf *policy_json);
	enum sl_err (*tenant_put)(void *conn, const struct sl_tenant_row *row); /* or replace */
	enum sl_err (*tenant_remove)(void *conn, uint8_t kind, struct sl_slice slug);
	/* In the order of kind and slug. */
	enum sl_err (*tenant_each)(void *conn, bool (*each)(void *, const struct sl_tenant_row *),
	                           void *context);
	/* SL_EEXIST: it was marked before. */
	enum sl_err (*alert_mark)(void *conn, struct sl_slice id, int64_t wall_ms);
	enum sl_err (*audit_add)(void *conn, const struct sl_audit_row *row);
	/* The last one's id and chain; zeros when there is none. */
	enum sl_err (*audit_end)(void *conn, int64_t *id, unsigned char chain[SL_AUDIT_CHAIN_SIZE]);
	/* In the order of ids, those above after_id; at most limit, <= 0: all. newest_first:
	 * the other way, those below after_id (0: all). */
	enum sl_err (*audit_each)(void *conn, int64_t after_id, int64_t limit, bool newest_first,
	                          bool (*each)(void *, const struct sl_audit_row *), void *context);
};

#endif
