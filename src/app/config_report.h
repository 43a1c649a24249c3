/* config_report.h - what is wrong with a configuration, and where.
 *
 * Problems are collected, not thrown: `sluice check` shows them all. Texts are
 * built from names and source text, never from a value that came out of a
 * substitution, so a secret that landed in the wrong place is not printed.
 * owner: whoever loads.
 */
#ifndef SL_APP_CONFIG_REPORT_H
#define SL_APP_CONFIG_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"

/* From 1; line 0: the file as a whole. */
struct sl_config_mark {
	uint32_t line;
	uint32_t column; /* in characters */
};

struct sl_config_problem {
	bool                  warning;
	struct sl_config_mark mark;
	struct sl_slice       text; /* "what is wrong - what to do" */
};

enum { SL_CONFIG_PROBLEMS_MAX = 200 };

struct sl_config_report {
	struct sl_arena          arena;
	struct sl_slice          path; /* as the operator wrote it */
	struct sl_config_problem problems[SL_CONFIG_PROBLEMS_MAX];
	size_t                   count; /* in problems */
	size_t                   errors, warnings; /* found, also those not kept */
};

void sl_config_report_init(struct sl_config_report *report, struct sl_slice path);
void sl_config_report_release(struct sl_config_report *report);

void sl_config_error(struct sl_config_report *report, struct sl_config_mark mark,
                     const char *format, ...) __attribute__((format(printf, 3, 4)));
void sl_config_warn(struct sl_config_report *report, struct sl_config_mark mark,
                    const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Whether a problem was reported for this place; false for line 0. */
bool sl_config_report_has(const struct sl_config_report *report, struct sl_config_mark mark);
/* One line for each problem, by place: "FILE:LINE:COL: error: TEXT". */
void sl_config_report_print(struct sl_config_report *report, bool with_warnings,
                            struct sl_buf *out);

/* Among `count` names, the one that `word` most likely misspells; NULL when
 * none is near. Bounded work: words over 48 bytes have no neighbours. */
const char *sl_config_nearest(struct sl_slice word, const char *const *names, size_t count);

#endif
