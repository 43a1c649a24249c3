/* telemetry.h - records, metrics and the access log. shared: atomic.
 *
 * sl_telemetry_finish is the only way a record leaves the pipeline. It updates
 * this loop's counters, writes the access-log line and queues the row for the
 * store's writer thread; it never waits for a disk. When the queue is full the
 * row is kept on an overflow list (bounded in bytes), so that a slow disk loses
 * nothing before it has cost real memory; what is dropped then is counted and
 * logged as an error.
 */
#ifndef SL_TELEMETRY_TELEMETRY_H
#define SL_TELEMETRY_TELEMETRY_H

#include "base/buf.h"
#include "telemetry/record.h"

struct sl_store;
struct sl_telemetry;

struct sl_telemetry_config {
	unsigned loops;
	bool     access_log;
};

struct sl_telemetry *sl_telemetry_new(const struct sl_telemetry_config *config,
                                      struct sl_store *store);
/* Flushes every queued row to the store first. After all loops stopped. */
void sl_telemetry_free(struct sl_telemetry *telemetry);

/* An ask began / ended: the in-flight gauge. */
void sl_telemetry_begin(struct sl_telemetry *telemetry, unsigned loop_index);
void sl_telemetry_finish(struct sl_telemetry *telemetry, unsigned loop_index,
                         const struct sl_record *record);

/* Gauges that others know, read when metrics are rendered. */
struct sl_telemetry_gauges {
	uint64_t connections, exchanges, upstream_open, upstream_idle;
	uint64_t upstream_opened, upstream_reused;
	uint64_t keys;
	uint64_t config_loaded_wall_ms;
};
/* Prometheus text format 0.0.4 of everything. Any thread. */
void sl_telemetry_metrics(struct sl_telemetry *telemetry,
                          const struct sl_telemetry_gauges *gauges, struct sl_buf *out);

/* Rows accepted and not yet durable. Any thread. */
uint64_t sl_telemetry_pending(const struct sl_telemetry *telemetry);

#endif
