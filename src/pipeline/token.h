/* token.h - access tokens for providers that take no key, per loop.
 *
 * A token is got when the first request needs it, shared by all of the loop's
 * requests, and renewed in the background before it expires. Requests that come
 * while there is none wait for the one fetch that is under way.
 *
 *   NONE --asked--> FETCHING --200--> GOOD --late--> GOOD and FETCHING --> GOOD
 *                      |                '--expired--> NONE
 *                      '--failed--> QUIET --after a second--> NONE
 *
 * owner: loop.
 */
#ifndef SL_PIPELINE_TOKEN_H
#define SL_PIPELINE_TOKEN_H

#include "base/list.h"
#include "pipeline/world.h"

struct sl_token_store;

/* Somebody who waits. Embedded; zero-initialised is "not waiting". */
struct sl_token_waiter {
	struct sl_list node;
	bool           waiting;
	/* The fetch ended: ask again. May start requests, may not free the store. */
	void (*on_ready)(struct sl_token_waiter *waiter);
};

/* NULL: out of memory. */
struct sl_token_store *sl_token_store_new(struct sl_loop *loop, struct sl_client *client);
/* Nobody may wait any more. */
void sl_token_store_free(struct sl_token_store *store);

/* The value of the Authorization field for a grant of the world. SL_OK: *header
 * is valid until control returns to the loop. SL_AGAIN: the waiter is called.
 * SL_ECONNECT: the token endpoint failed within the last second (its reason is
 * in the log). SL_ENOMEM. */
enum sl_err sl_token_get(struct sl_token_store *store, struct sl_world *world,
                         const struct sl_token_grant *grant, struct sl_token_waiter *waiter,
                         struct sl_slice *header);
void sl_token_waiter_cancel(struct sl_token_waiter *waiter);
/* The provider refused the token: the next request gets a new one. */
void sl_token_refused(struct sl_token_store *store, const struct sl_token_grant *grant);

#endif
