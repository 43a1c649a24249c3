/* config_report.c - problems of a configuration, collected and printed. */
#include "app/config_report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

enum {
	REPORT_ARENA_FIRST = 4096,
	REPORT_ARENA_MAX = 512 * 1024,
	TEXT_MAX = 512,     /* bytes of one problem */
	WORD_MAX = 48,      /* bytes; longer words are not compared */
};

void
sl_config_report_init(struct sl_config_report *report, struct sl_slice path)
{
	*report = (struct sl_config_report){ 0 };
	sl_arena_init(&report->arena, REPORT_ARENA_FIRST, REPORT_ARENA_MAX);
	report->path = path;
}

void
sl_config_report_release(struct sl_config_report *report)
{
	sl_arena_release(&report->arena);
}

/* A name in a file may hold anything; a terminal must not obey it. */
static void
make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

__attribute__((format(printf, 4, 0))) static void
add(struct sl_config_report *report, bool warning, struct sl_config_mark mark,
    const char *format, va_list args)
{
	char text[TEXT_MAX];
	struct sl_slice kept;

	*(warning ? &report->warnings : &report->errors) += 1;
	if (report->count == SL_CONFIG_PROBLEMS_MAX)
		return;
	vsnprintf(text, sizeof(text), format, args);
	make_printable(text);
	/* A credential written in the wrong place. */
	text[sl_log_redact(text, strlen(text))] = '\0';
	kept = sl_arena_dup(&report->arena, sl_slice_str(text));
	if (!kept.ptr)
		return;
	report->problems[report->count++] =
	    (struct sl_config_problem){ .warning = warning, .mark = mark, .text = kept };
}

void
sl_config_error(struct sl_config_report *report, struct sl_config_mark mark, const char *format,
                ...)
{
	va_list args;

	va_start(args, format);
	add(report, false, mark, format, args);
	va_end(args);
}

void
sl_config_warn(struct sl_config_report *report, struct sl_config_mark mark, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add(report, true, mark, format, args);
	va_end(args);
}

bool
sl_config_report_has(const struct sl_config_report *report, struct sl_config_mark mark)
{
	for (size_t i = 0; mark.line && i < report->count; i++)
		if (report->problems[i].mark.line == mark.line &&
		    report->problems[i].mark.column == mark.column)
			return true;
	return false;
}

static int
by_place(const void *a, const void *b)
{
	const struct sl_config_problem *x = a, *y = b;

	if (x->mark.line != y->mark.line)
		return x->mark.line < y->mark.line ? -1 : 1;
	if (x->mark.column != y->mark.column)
		return x->mark.column < y->mark.column ? -1 : 1;
	return 0;
}

void
sl_config_report_print(struct sl_config_report *report, bool with_warnings, struct sl_buf *out)
{
	size_t found = report->errors + report->warnings;

	qsort(report->problems, report->count, sizeof(report->problems[0]), by_place);
	for (size_t i = 0; i < report->count; i++) {
		const struct sl_config_problem *problem = &report->problems[i];

		if (problem->warning && !with_warnings)
			continue;
		sl_buf_append(out, report->path);
		if (problem->mark.line)
			sl_buf_printf(out, ":%u:%u", problem->mark.line, problem->mark.column);
		sl_buf_printf(out, ": %s: %.*s\n", problem->warning ? "warning" : "error",
		              SL_ARG(problem->text));
	}
	if (found > report->count)
		sl_buf_printf(out, "%.*s: %zu more problems are not shown\n",
		              SL_ARG(report->path), found - report->count);
}

static unsigned
smallest(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Edit distance with swaps of neighbours counted once. */
static unsigned
distance(struct sl_slice a, struct sl_slice b)
{
	unsigned rows[3][WORD_MAX + 1];
	unsigned *before = rows[0], *last = rows[1], *now = rows[2];

	for (unsigned k = 0; k <= b.len; k++)
		last[k] = k;
	for (unsigned i = 1; i <= a.len; i++) {
		unsigned *spare = before;

		now[0] = i;
		for (unsigned k = 1; k <= b.len; k++) {
			bool same = a.ptr[i - 1] == b.ptr[k - 1];

			now[k] = smallest(last[k] + 1, now[k - 1] + 1, last[k - 1] + !same);
			if (i > 1 && k > 1 && a.ptr[i - 1] == b.ptr[k - 2] &&
			    a.ptr[i - 2] == b.ptr[k - 1] && before[k - 2] + 1 < now[k])
				now[k] = before[k - 2] + 1;
		}
		before = last;
		last = now;
		now = spare;
	}
	return last[b.len];
}

const char *
sl_config_nearest(struct sl_slice word, const char *const *names, size_t count)
{
	const char *best = NULL;
	unsigned best_distance = 0;

	if (word.len == 0 || word.len > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		struct sl_slice name = sl_slice_str(names[i]);
		unsigned far;

		if (name.len > WORD_MAX)
			continue;
		far = distance(word, name);
		/* A third of the letters wrong is another word. */
		if (far > 1 + name.len / 4)
			continue;
		if (!best || far < best_distance) {
			best = names[i];
			best_distance = far;
		}
	}
	return best;
}
