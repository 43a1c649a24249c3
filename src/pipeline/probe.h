/* probe.h - ask providers that are given up on whether they answer again.
 *
 * While the breaker of a target is open, its provider gets a GET of its list of models
 * every router.probe_interval_ms: without a credential, a model or a token. Any answer
 * below 500 is a sign of life, and the breaker then lets one request through at once;
 * silence keeps callers away until the next probe. Providers that work are not probed.
 * One for the process, on one loop. owner: that loop.
 */
#ifndef SL_PIPELINE_PROBE_H
#define SL_PIPELINE_PROBE_H

#include "net/client.h"
#include "net/loop.h"

struct sl_board;
struct sl_world;
struct sl_prober;

/* world: the one in force, valid during the call. NULL: out of memory. */
struct sl_prober *sl_prober_new(struct sl_loop *loop, struct sl_client *client,
                                struct sl_board *board, struct sl_world *(*world)(void *context),
                                void *context);
/* Before the client. NULL is fine. */
void sl_prober_free(struct sl_prober *prober);

#endif
