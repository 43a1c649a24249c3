/* shelf.h - answers that may be given again, in memory, for the process.
 *
 * Found by a digest of everything that decided the answer (recall.c makes it); bounded
 * in bytes, what was not used for longest goes first. Nothing is written to disk: a
 * restart forgets. shared: one lock, held for a lookup or a link. Private to the pipeline.
 */
#ifndef SL_PIPELINE_SHELF_H
#define SL_PIPELINE_SHELF_H

#include <stdint.h>

#include "base/slice.h"

enum {
	SL_SHELF_ID_SIZE = 32,
	SL_SHELVED_BODY_MAX = 1024 * 1024, /* a larger one is not kept */
};

struct sl_shelf;

/* Slices; the shelf has its own copy. */
struct sl_shelved {
	struct sl_slice content_type, body;
	struct sl_slice provider, model;  /* who answered */
	struct sl_slice warnings;         /* what translating changed; may be empty */
	int             status;
};

struct sl_shelf *sl_shelf_new(void);
/* NULL is fine. */
void sl_shelf_free(struct sl_shelf *shelf);

/* Valid until sl_shelved_unref. NULL: there is none, or its time is over. */
const struct sl_shelved *sl_shelf_find(struct sl_shelf *shelf,
                                      const unsigned char id[SL_SHELF_ID_SIZE], uint64_t now_ms);
void sl_shelved_unref(const struct sl_shelved *shelved);
/* In place of what has the id; for ttl_ms. bytes_max: of all answers together. What is
 * too large, or has no memory, is not kept. */
void sl_shelf_put(struct sl_shelf *shelf, const unsigned char id[SL_SHELF_ID_SIZE],
                  const struct sl_shelved *answer, uint64_t ttl_ms, uint64_t bytes_max,
                  uint64_t now_ms);

#endif
