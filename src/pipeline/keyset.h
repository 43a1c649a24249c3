/* keyset.h - several credentials for one provider. Private to the pipeline.
 *
 * Requests take turns among the credentials that are well. One that the provider
 * refused (401, 402, 403) or limited (429) rests, and the request goes to the same
 * target again with another; what the target itself is worth is not judged by that.
 * shared: atomic. Rests are common to the configurations that name the same credential for
 * the same place, so a reload forgets none; a credential that is new in it is well.
 */
#ifndef SL_PIPELINE_KEYSET_H
#define SL_PIPELINE_KEYSET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/secret.h"

enum {
	SL_KEYSET_REFUSED_MS = 300000, /* an operator has to act, or a quota to be renewed */
	SL_KEYSET_LIMITED_MS = 5000,   /* where the provider names no time */
};

struct sl_key_rest; /* counted references */

struct sl_key_slot {
	struct sl_secret    value; /* as it goes on the wire */
	struct sl_key_rest *rest;
};

/* count 0: the provider is asked without a credential of ours. */
struct sl_keyset {
	struct sl_key_slot *slots; /* on the world's arena */
	size_t              count;
	atomic_uint         turn;
};

/* Appends one, for which the set has room. SL_ENOMEM. */
enum sl_err sl_keyset_add(struct sl_keyset *set, struct sl_slice value);
void sl_keyset_release(struct sl_keyset *set);
/* Credentials that `from` has as well rest as they do there, from now on. Before the set is
 * shared. */
void sl_keyset_inherit(struct sl_keyset *set, const struct sl_keyset *from);
/* The next that is well; when none is, the one that will be first. */
size_t sl_keyset_pick(struct sl_keyset *set, uint64_t now_us);
/* Lays one to rest after `status`. True: another is well. */
bool sl_keyset_rest(struct sl_keyset *set, size_t index, int status, uint32_t retry_after_ms,
                    uint64_t now_us);

#endif
