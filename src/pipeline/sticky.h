/* sticky.h - which target answered a conversation last, and so holds its prompt cache.
 *
 * A conversation is known by its opening (instructions and everything up to the first
 * words of the user), the name it asks for and who asks. One table for the process; an
 * entry that is old or was overwritten by another costs a cache miss at the provider and
 * nothing else. shared: locks held for a few loads and stores. Private to the pipeline.
 */
#ifndef SL_PIPELINE_STICKY_H
#define SL_PIPELINE_STICKY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum {
	SL_STICKY_SLOTS = 1 << 14,
	SL_STICKY_S = 600,          /* providers keep prompts for 5 to 10 minutes */
	SL_STICKY_NAME_MAX = 64,    /* bytes of a provider's name and of a model's id */
};

struct sl_sticky;

struct sl_sticky *sl_sticky_new(void);
void sl_sticky_free(struct sl_sticky *sticky);
/* conversation 0: none. Names that are too long are not kept. */
void sl_sticky_put(struct sl_sticky *sticky, uint64_t conversation, struct sl_slice provider,
                   struct sl_slice model, uint64_t now_us);
/* provider and model: room for SL_STICKY_NAME_MAX bytes each. False: not known. */
bool sl_sticky_get(struct sl_sticky *sticky, uint64_t conversation, char *provider,
                   struct sl_slice *provider_out, char *model, struct sl_slice *model_out,
                   uint64_t now_us);
/* From the hash of an opening, of who asks and of what for. */
uint64_t sl_sticky_conversation(uint64_t opening, struct sl_slice tenant, struct sl_slice model);

#endif
