/* telemetry.h - records, metrics and the access log. shared: atomic.
 *
 * sl_telemetry_finish is the only way a record leaves the pipeline. It updates
 * this loop's counters and queues the row; a thread of its own writes access-log
 * lines and feeds the store every 40 ms. The loop never waits for a disk: rows
 * wait in memory (64 MiB in all). From an eighth of that on requests should come
 * in no faster than the store takes their rows; what finds no room is not begun.
 */
#ifndef SL_TELEMETRY_TELEMETRY_H
#define SL_TELEMETRY_TELEMETRY_H

#include "base/buf.h"
#include "telemetry/record.h"

struct sl_spool; /* telemetry/spool.h */
struct sl_store;
struct sl_telemetry;

struct sl_telemetry_config {
	unsigned    loops;      /* at least 1 */
	bool        access_log;
	const char *version;    /* static, for sluice_build_info */
	size_t      queue_bytes; /* of rows that wait, all loops together; 0: 64 MiB */
	struct sl_spool *spool;  /* where they wait, so that none is lost at a kill -9; it must
	                          * outlive the telemetry. NULL: on the heap */
};

/* store NULL: nothing is stored, only counted and logged. NULL: no memory or no
 * thread. */
struct sl_telemetry *sl_telemetry_new(const struct sl_telemetry_config *config,
                                      struct sl_store *store);
/* Writes every queued line and row first; gives a store that refuses writes three
 * seconds to recover. After all loops stopped, before sl_store_free. NULL is
 * allowed. True: every row was stored. */
bool sl_telemetry_free(struct sl_telemetry *telemetry);

/* An ask began / ended. On the loop of that index. Every begin has one finish. True: there
 * is room for its row, whatever comes; else it should be refused, and ends with
 * sl_telemetry_finish_rowless: counted only. The record's row is completed. */
bool sl_telemetry_begin(struct sl_telemetry *telemetry, unsigned loop_index);
void sl_telemetry_finish(struct sl_telemetry *telemetry, unsigned loop_index,
                         struct sl_record *record);
/* Whether the loop should begin what an ask asks for. STUCK: more rows wait than should,
 * and the store takes none: it is ill, or has moved nothing for two seconds; to wait for it
 * would help nobody. On the loop of that index. */
enum sl_room { SL_ROOM_FREE, SL_ROOM_TIGHT, SL_ROOM_STUCK };
enum sl_room sl_telemetry_room(const struct sl_telemetry *telemetry, unsigned loop_index);
/* Counts an ask that waits because the room is tight. Any thread. */
void sl_telemetry_paced(struct sl_telemetry *telemetry);
/* Of one that was answered at its head, whatever came: it has a row only while few wait, so
 * that no flood of such requests takes the room of others, or makes them wait. */
void sl_telemetry_finish_headed(struct sl_telemetry *telemetry, unsigned loop_index,
                                struct sl_record *record);
void sl_telemetry_finish_rowless(struct sl_telemetry *telemetry, unsigned loop_index,
                                 const struct sl_record *record);

/* Gauges that others know, read when metrics are rendered. */
struct sl_telemetry_gauges {
	uint64_t connections, exchanges, upstream_open, upstream_idle;
	uint64_t upstream_opened, upstream_reused;
	uint64_t keys;
	uint64_t config_loaded_wall_ms;
	uint64_t open_holds, drains; /* of paid attempts */
	uint64_t unfolded;           /* ledger records that are not in the store yet */
	int64_t  held_nanousd, overrun_nanousd;
};
/* Prometheus text format 0.0.4 of everything, appended to out. Any thread. */
void sl_telemetry_metrics(struct sl_telemetry *telemetry,
                          const struct sl_telemetry_gauges *gauges, struct sl_buf *out);

/* A mark behind all rows accepted so far, and whether those are durable, or given up. Any
 * thread. */
uint64_t sl_telemetry_mark(const struct sl_telemetry *telemetry);
bool sl_telemetry_stored(const struct sl_telemetry *telemetry, uint64_t mark);
/* Rows accepted and not yet durable. Any thread. */
uint64_t sl_telemetry_pending(const struct sl_telemetry *telemetry);

#endif
