/* row.h - from the record of an ask to its stored columns and its log line.
 * Private to the telemetry room.
 */
#ifndef SL_TELEMETRY_ROW_H
#define SL_TELEMETRY_ROW_H

#include "base/buf.h"
#include "store/store.h"
#include "telemetry/record.h"

/* Completes the row with what follows from the rest. */
void sl_record_complete(struct sl_record *record);

/* Whether something was bought, or may have been, at a price nobody knows. */
bool sl_record_unpriced(const struct sl_record *record);

/* Appends the row's access-log line: the columns that have a value, under their
 * names. A line that does not fit is left out (SL_ELIMIT). */
enum sl_err sl_access_log_append(struct sl_buf *lines, const struct sl_record_row *row);

#endif
