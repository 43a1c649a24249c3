/* zone.h - calendars of time zones, from the system's zone files.
 *
 * Periods are numbers: days since 1970-01-01 in the zone, weeks from Monday, months.
 * A period is never reset in place: another one simply has another number, so a clock
 * that steps back finds the old sums again. shared: frozen.
 */
#ifndef SL_LEDGER_ZONE_H
#define SL_LEDGER_ZONE_H

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct sl_zone;

/* "Europe/Berlin", "UTC", "+02:00". Blocking: reads a file. SL_ENOTFOUND: no such zone;
 * SL_ESYNTAX: its file is damaged. */
enum sl_err sl_zone_new(struct sl_slice name, struct sl_zone **zone);
/* From the bytes of a zone file (RFC 8536, version 2 or later). */
enum sl_err sl_zone_parse(struct sl_slice file, struct sl_zone **zone);
void sl_zone_free(struct sl_zone *zone);
/* The same zone for everybody, read once and kept for the process's life; the file is a
 * few kB, so that a loop may ask. Any thread. SL_ELIMIT: too many different ones. */
enum sl_err sl_zone_shared(struct sl_slice name, const struct sl_zone **zone);

/* Seconds east of UTC at that time. NULL: UTC. */
int32_t sl_zone_offset_s(const struct sl_zone *zone, int64_t wall_s);
/* Local day of a time. */
int32_t sl_zone_day(const struct sl_zone *zone, int64_t wall_ms);
/* The first millisecond of a local day. */
int64_t sl_zone_day_begins_ms(const struct sl_zone *zone, int32_t day);

/* Week (0 holds 1970-01-01) and month (0: January 1970) of a day, and their first days. */
int32_t sl_week_of_day(int32_t day);
int32_t sl_month_of_day(int32_t day);
int32_t sl_day_of_week(int32_t week);
int32_t sl_day_of_month(int32_t month);

#endif
