/* membership.h - the team and the workspace that a key's body names. */
#ifndef SL_ADMIN_MEMBERSHIP_H
#define SL_ADMIN_MEMBERSHIP_H

#include "admin/call.h"
#include "ledger/key_policy.h"

/* False: there is no such workspace, and the call was answered with 400. Without a slug
 * there is nothing to miss. */
bool admin_workspace_stands(struct admin_call *call, struct sl_slice slug);

/* Of a body for POST or PATCH of a key: calls next when the levels that it names exist, at
 * once or on this loop later; else answers. */
void admin_membership(struct admin_call *call, enum sl_policy_source source,
                      void (*next)(struct admin_call *call));

#endif
