/* log.h - the one log writer: a JSON object per line on standard error.
 *
 * Values are escaped, capped in length, and secrets have no path here: a
 * struct sl_secret is not a slice, and every line passes the redactor, which
 * replaces anything that looks like a credential. Thread-safe: a line is one
 * write(2).
 */
#ifndef SL_BASE_LOG_H
#define SL_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum sl_log_level { SL_LOG_DEBUG, SL_LOG_INFO, SL_LOG_WARN, SL_LOG_ERROR, SL_LOG_OFF };

struct sl_log_field {
	const char     *name; /* NULL ends the list */
	enum { SL_LOG_TEXT, SL_LOG_INT, SL_LOG_JSON } kind;
	struct sl_slice text;   /* SL_LOG_TEXT: any bytes; SL_LOG_JSON: valid JSON */
	int64_t         number; /* SL_LOG_INT */
};

#define SL_LOG_S(name_, slice_)                                               \
	((struct sl_log_field){ .name = (name_), .kind = SL_LOG_TEXT, .text = (slice_) })
#define SL_LOG_Z(name_, cstr_) SL_LOG_S(name_, sl_slice_str(cstr_))
#define SL_LOG_I(name_, int_)                                                 \
	((struct sl_log_field){ .name = (name_), .kind = SL_LOG_INT, .number = (int64_t)(int_) })

void sl_log_init(enum sl_log_level level, int fd);
bool sl_log_enabled(enum sl_log_level level);
/* Writes {"ts":..,"level":..,"msg":message, fields...}: at most 64 fields of
 * at most 2 KiB, cut silently; fields of a line over 32 KiB are dropped. */
void sl_log_write(enum sl_log_level level, const char *message,
                  const struct sl_log_field *fields);

/* The same in two steps, for many lines in one write: the line is built as of
 * wall_ms, redacted and appended to `lines` (whatever the level), or not at all
 * when it does not fit; then all are written and the buffer cleared. */
enum sl_err sl_log_append(struct sl_buf *lines, enum sl_log_level level, int64_t wall_ms,
                          const char *message, const struct sl_log_field *fields);
void sl_log_flush(struct sl_buf *lines);

/* sl_log(SL_LOG_WARN, "upstream failed", SL_LOG_Z("provider", name), ...) */
#define sl_log(level, ...)                                                    \
	do {                                                                  \
		if (sl_log_enabled(level))                                    \
			SL_LOG_WRITE((level), __VA_ARGS__, { 0 });            \
	} while (0)
#define SL_LOG_WRITE(level, message, ...)                                     \
	sl_log_write((level), (message), (const struct sl_log_field[]){ __VA_ARGS__ })

/* Replaces credentials in `text` (bearer values, sk-..., gw_virt_..., key=...)
 * by "[redacted]" in place, short ones by as many stars; returns the new
 * length. Valid JSON stays valid. For texts that come from elsewhere, such as
 * a provider's error. */
size_t sl_log_redact(char *text, size_t len);

#endif
