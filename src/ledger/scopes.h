/* scopes.h - which accounts a request touches, and what each may spend.
 *
 * The one place that turns a key and what stands above it into the scopes of a hold.
 * Pure; what it fills points into the key's policy and lives as long as the key's
 * reference.
 */
#ifndef SL_LEDGER_SCOPES_H
#define SL_LEDGER_SCOPES_H

#include "ledger/key.h"
#include "ledger/money.h"

struct sl_scopes {
	struct sl_money_scope  scope[SL_MONEY_SCOPES_MAX];
	struct sl_money_limits limits[SL_MONEY_SCOPES_MAX]; /* scope[i].limits is &limits[i] */
	size_t                 count;
};

/* The key, its team and its workspace. */
void sl_scopes_of_key(const struct sl_key *key, struct sl_scopes *out);
/* Whether any of them has a budget or must be paid in advance: then nothing may be
 * bought whose cost has no proven bound. */
bool sl_scopes_bind(const struct sl_scopes *scopes);

#endif
