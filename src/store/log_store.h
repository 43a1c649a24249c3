/* log_store.h - the records of one key, the newest first.
 *
 * A small blocking call on the store thread; a long history is read in pieces, so that
 * nobody's write waits behind it.
 */
#ifndef SL_STORE_LOG_STORE_H
#define SL_STORE_LOG_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

/* Of a record; SL_RECORD_NULL where it has no such number. */
struct sl_log_row {
	struct sl_slice request_id, key_id, team, end_user, tag, operation, outcome;
	struct sl_slice model_requested, model_served, provider;
	int64_t         end_wall_ms, status, stream, attempts, cached, total_us;
	int64_t         input_tokens, output_tokens, cost_nanousd;
};

struct sl_log_query {
	struct sl_slice key_id;
	int64_t         since_wall_ms, until_wall_ms; /* [since, until), by their end */
	uint32_t        most;   /* records, of whatever key, that one call looks at */
	int64_t         behind; /* 0 at first; left where the next call goes on */
	bool            ended;  /* left true when there is nothing more */
};

struct sl_log_ops {
	/* Text is valid during each; no more when it returns false. */
	enum sl_err (*each)(void *conn, struct sl_log_query *query,
	                    bool (*each)(void *context, const struct sl_log_row *row),
	                    void *context);
};

#endif
