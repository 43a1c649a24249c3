/* sqlite_records.h - how rows of requests get into the embedded store. Private to
 * sqlite.c.
 */
#ifndef SL_STORE_SQLITE_RECORDS_H
#define SL_STORE_SQLITE_RECORDS_H

#include "store/sqlite_internal.h"
#include "store/store.h"

enum {
	SL_SQLITE_HOUR_MS = 3600 * 1000,
	SL_SQLITE_ID_SHIFT = 20, /* bits below the milliseconds in a record's id */
	SL_SQLITE_SUMS = 512,    /* distinct sums gathered before they are written */
	SL_SQLITE_TERMS = 1024,  /* remembered of a dictionary */
};

/* What many requests have in common, as it is in the store. */
struct sl_sqlite_term {
	int64_t  id;
	uint64_t hash;
	char    *key;  /* its columns, one after the other; NULL: none */
	size_t   size;
};

/* One row of hours in the making. */
struct sl_sqlite_sum {
	bool            used;
	int64_t         hour;
	struct sl_slice name[SL_SPEND_GROUPS];
	int64_t         requests, input_tokens, output_tokens, cost_nanousd, unpriced;
};

/* The connection's part. owner: store thread */
struct sl_sqlite_records {
	struct sl_sqlite_part   *part;
	struct sl_record_source *source;
	struct sl_record_row     row;     /* the next one, when has_row */
	int64_t                  row_id;
	int64_t                  last_id;    /* of the table, with that row's */
	bool                     id_is_next; /* it is the one behind the last */
	uint64_t                 seq;     /* of ids */
	bool                     has_row;
	bool                     known;   /* the row's owner and kind have ids */
	const char              *known_common; /* of the row for which these were looked up */
	int64_t                  owner, kind;
	struct sl_sqlite_term   *owners, *kinds; /* SL_SQLITE_TERMS each, or NULL */
	char                    *facts; /* of the row; SL_FACTS_MAX_SIZE, or NULL */
	unsigned char            trace[16];    /* of the row, when these are all of it */
	bool                     trace_is_hex;
	struct sl_sqlite_sum    *sums;    /* SL_SQLITE_SUMS of them, NULL before the first record */
	size_t                   sum_count;
	struct sl_sqlite_sum    *sum;     /* of the last row, or NULL, and where what it has in
	                                   * common with others lies: */
	const char              *sum_common;
	uint16_t                 used[SL_SQLITE_SUMS]; /* the first sum_count: places in sums */
};

/* Wall time as an id can hold it. */
int64_t sl_sqlite_clamp_wall_ms(int64_t wall_ms);

/* SQLite's result. The struct must stay where it is. */
int sl_sqlite_records_open(struct sl_sqlite_records *records, struct sl_sqlite_part *part);
void sl_sqlite_records_release(struct sl_sqlite_records *records);
/* What was written since the last commit may be gone. */
void sl_sqlite_records_forget(struct sl_sqlite_records *records);
/* sl_store_ops.records_append. */
enum sl_err sl_sqlite_records_append(struct sl_sqlite_records *records,
                                     struct sl_record_source *source);

#endif
