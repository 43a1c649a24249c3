/* key_policy.h - the policy of a key, a team or a workspace as JSON: read, checked and
 * shown by one table.
 */
#ifndef SL_LEDGER_KEY_POLICY_H
#define SL_LEDGER_KEY_POLICY_H

#include "base/json.h"
#include "ledger/key.h"

enum sl_policy_source {
	SL_POLICY_CREATE, /* the body of POST /admin/keys, /admin/teams ... */
	SL_POLICY_PATCH,  /* the body of PATCH /admin/keys/:id ... */
	SL_POLICY_STORED, /* what sl_key_policy_show wrote, perhaps by another version */
};

/* No limits, no names, surface gateway. level: KEY, TEAM or WORKSPACE. */
void sl_key_policy_init(struct sl_key_policy *policy, enum sl_scope_kind level);

/* Applies the members of a JSON object to the policy; null restores a default.
 * What the policy keeps is copied to `keep`; messages of a refusal live on
 * `scratch`. False: *fault names the member in param and says what to write
 * instead; the policy may then be half changed.
 * Stored policies are trusted: members that this version does not know are
 * skipped. A zone that is named for the first time is read from its file. */
bool sl_key_policy_apply(struct sl_key_policy *policy, struct sl_json body,
                         enum sl_policy_source source, int64_t now_wall_ms,
                         struct sl_arena *keep, struct sl_arena *scratch,
                         struct sl_fault *fault);

/* Writes every member (no braces), so that apply(STORED) gives the same again. */
void sl_key_policy_show(const struct sl_key_policy *policy, struct sl_json_writer *out);

/* The same members described for the API document: "name":{JSON Schema} each, without
 * braces. shown: as show() writes them; else as a body may have them, aliases included. */
void sl_key_policy_schema(enum sl_scope_kind level, bool shown, struct sl_json_writer *out);
/* The names of those that are shown, as elements of a list. */
void sl_key_policy_names(enum sl_scope_kind level, struct sl_json_writer *out);

/* Whether its lists let a request for `requested` go to the provider's model. Without a
 * provider only the name is judged, as far as that is possible. */
bool sl_key_policy_allows(const struct sl_key_policy *policy, struct sl_slice requested,
                          struct sl_slice provider, struct sl_slice model);
/* Whether a name that stands for a choice ("auto") is on the list of what is blocked. */
bool sl_key_policy_blocks(const struct sl_key_policy *policy, struct sl_slice name);

#endif
