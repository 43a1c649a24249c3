/* metrics.h - counters that one loop writes and anybody may read.
 *
 * Each loop has a shard of its own and updates it without locks or atomic
 * read-modify-write; rendering sums the shards. Private to the telemetry room.
 */
#ifndef SL_TELEMETRY_METRICS_H
#define SL_TELEMETRY_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "telemetry/record.h"

struct sl_metrics_shard;

/* NULL when out of memory. Series are allocated as they appear. */
struct sl_metrics_shard *sl_metrics_shard_new(void);
void sl_metrics_shard_free(struct sl_metrics_shard *shard);

/* On the shard's own loop. What begins is in flight until it is over, which is said when
 * finish has counted it and its row is where it waits: who reads that nothing is in flight
 * finds both. */
void sl_metrics_begin(struct sl_metrics_shard *shard);
/* alike: in what many rows have in common (row_queue.h) it is as the record before. */
void sl_metrics_finish(struct sl_metrics_shard *shard, const struct sl_record *record,
                       bool alike);
void sl_metrics_over(struct sl_metrics_shard *shard);

/* Appends what asks have counted, in Prometheus text format. Any thread, while
 * the loops go on counting. */
void sl_metrics_render(struct sl_metrics_shard *const *shards, size_t count,
                       struct sl_buf *out);

/* Appends one metric without labels with its HELP and TYPE lines. */
void sl_metrics_put(struct sl_buf *out, const char *name, const char *type,
                    const char *help, double value);
/* Memory, descriptors, CPU time and start time of this process. */
void sl_metrics_put_process(struct sl_buf *out);

#endif
