/* responses.h - answers that are kept, so that a next request may go on from them.
 *
 * Of an answer: the items of its request, the answer itself, and which answer it went on
 * from. A conversation is the chain of them; each is kept once. Only the key that made an
 * answer can read, go on from or remove it. Kept for so many days and so many bytes in
 * all, the oldest go first. In the store alone: written behind the answer, in order, so
 * that whoever got an answer finds it; a crash may lose the last ones.
 */
#ifndef SL_LEDGER_RESPONSES_H
#define SL_LEDGER_RESPONSES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
	SL_RESPONSE_BYTES_MAX = 16 * 1024 * 1024, /* of one, request and answer each */
	SL_RESPONSE_ID_MAX = 64,
	SL_RESPONSE_CHAIN_MAX = 1000,             /* answers of one conversation */
};

struct sl_loop;
struct sl_store;

/* What is to be kept; borrowed. */
struct sl_response_keep {
	struct sl_slice id, owner, previous;
	struct sl_slice input;    /* raw JSON: a string or an array of items */
	struct sl_slice response; /* the object */
	int64_t         now_wall_ms, keep_ms, most_bytes;
};
/* Any thread. False: too large, or no room: it is not kept. */
bool sl_responses_keep(struct sl_store *store, const struct sl_response_keep *what);

enum sl_response_wish {
	SL_RESPONSE_CHAIN,  /* items: the whole conversation, the oldest first */
	SL_RESPONSE_ONE,    /* items: of its own request; response */
	SL_RESPONSE_REMOVE,
};

struct sl_response_find {
	/* SL_ENOTFOUND: there is none, or one that it goes on from is gone. SL_ELIMIT: the
	 * conversation is longer than most_bytes or SL_RESPONSE_CHAIN_MAX. */
	enum sl_err     err;
	struct sl_buf   items;    /* elements of a JSON array, with commas */
	struct sl_buf   response; /* the object */
	void          (*done)(struct sl_response_find *find);
	void           *user;     /* NULL: nobody waits any longer */
};

struct sl_response_query {
	enum sl_response_wish wish;
	struct sl_slice       id, owner;
	int64_t               since_wall_ms; /* older ones are not found */
	size_t                most_bytes;
};
/* done follows on the loop, once; whoever gets it frees it. NULL: no room, no memory. */
struct sl_response_find *sl_responses_find(struct sl_store *store, struct sl_loop *loop,
                                           const struct sl_response_query *query,
                                           void (*done)(struct sl_response_find *find),
                                           void *user);
void sl_response_find_free(struct sl_response_find *find);

#endif
