/* scopes.h - which accounts a request touches, and what each may spend.
 *
 * The one place that turns a key and what stands above it into the scopes of a hold.
 * Pure; what it fills points into the tenancy and lives as long as that is open.
 */
#ifndef SL_LEDGER_SCOPES_H
#define SL_LEDGER_SCOPES_H

#include "ledger/money.h"
#include "ledger/tenancy.h"
#include "model/config.h"

struct sl_scopes {
	struct sl_money_scope scope[SL_MONEY_SCOPES_MAX];
	size_t                count;
};

/* The key, its team, its workspace (which pays when it is prepaid), whether they were
 * created or are labels; the end user where money of end users is limited. None when the
 * tenancy is closed. */
void sl_scopes_of_tenancy(const struct sl_tenancy *tenancy, struct sl_scopes *out);
/* The stack's own account, where it has a budget: it never pays. limits: to be pointed at. */
void sl_scopes_add_stack(struct sl_scopes *scopes, struct sl_slice slug,
                         const struct sl_config_budget *budget, struct sl_money_limits *limits);
/* Whether any of them has a budget or must be paid in advance: then nothing may be
 * bought whose cost has no proven bound. */
bool sl_scopes_bind(const struct sl_scopes *scopes);
/* What all of them leave for one more request, never below 0, in nano-dollars; -1: nothing
 * limits it. Others may take of it before a hold does. */
int64_t sl_scopes_room(const struct sl_scopes *scopes, struct sl_money *money,
                       int64_t now_wall_ms);

#endif
