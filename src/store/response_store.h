/* response_store.h - what a store keeps of answers that a next request may refer to.
 *
 * Small blocking calls on the store thread, inside the transaction of a job. What they
 * mean is the ledger's business (ledger/responses.h).
 */
#ifndef SL_STORE_RESPONSE_STORE_H
#define SL_STORE_RESPONSE_STORE_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct sl_response_row {
	struct sl_slice id, owner; /* owner: a key's id; empty: nobody's */
	struct sl_slice previous;  /* id of the answer it went on from; empty: none */
	struct sl_slice input;     /* items of its request: elements of an array, with commas */
	struct sl_slice response;  /* the object that the caller got */
	int64_t         created_wall_ms;
};

struct sl_response_ops {
	enum sl_err (*put)(void *conn, const struct sl_response_row *row); /* by id */
	/* The row is valid during found. SL_ENOTFOUND: none of this owner. */
	enum sl_err (*get)(void *conn, struct sl_slice id, struct sl_slice owner,
	                   enum sl_err (*found)(void *context, const struct sl_response_row *row),
	                   void *context);
	enum sl_err (*remove)(void *conn, struct sl_slice id, struct sl_slice owner);
	/* Removes those from before, and the oldest until the others have at most so many
	 * bytes. */
	enum sl_err (*trim)(void *conn, int64_t since_wall_ms, int64_t most_bytes);
};

#endif
