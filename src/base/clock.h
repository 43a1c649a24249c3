/* clock.h - the only place where time comes from.
 *
 * Monotonic time is for durations and timeouts, wall time is for records and
 * calendar windows. Pure rooms take time as an argument.
 */
#ifndef SL_BASE_CLOCK_H
#define SL_BASE_CLOCK_H

#include <stdint.h>

uint64_t sl_clock_mono_ns(void);
/* Milliseconds since 1970-01-01T00:00:00Z. */
int64_t sl_clock_wall_ms(void);

#endif
