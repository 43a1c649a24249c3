/* membership.h - the team and the workspace that a key's body names. */
#ifndef SL_ADMIN_MEMBERSHIP_H
#define SL_ADMIN_MEMBERSHIP_H

#include "admin/call.h"

/* False: there is no such workspace, and the call was answered with 400. Without a slug
 * there is nothing to miss. */
bool admin_workspace_stands(struct admin_call *call, struct sl_slice slug);

/* False: keys of the team belong to another workspace, and the call was answered with 409. */
bool admin_team_moves(struct admin_call *call, struct sl_slice team, struct sl_slice workspace);

/* Of a body for POST of a key, or for PATCH of this one: calls next when the levels that it
 * then belongs to exist, at once or on this loop later; else answers. */
void admin_membership(struct admin_call *call, const struct sl_key *key,
                      void (*next)(struct admin_call *call));

#endif
