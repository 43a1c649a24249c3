/* usage.h - what a request used, in classes that add up.
 *
 * Conventions: INPUT includes cached reads and writes, OUTPUT includes
 * reasoning; the other classes are parts of those two or units of their own.
 * Absent is not zero: a class counts only when its bit is present.
 */
#ifndef SL_MODEL_USAGE_H
#define SL_MODEL_USAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* id, name in JSON, records and metrics */
#define SL_USAGE_CLASSES(X)                                                   \
	X(INPUT, "input_tokens")                                              \
	X(CACHE_READ, "cache_read_tokens")        /* part of INPUT */         \
	X(CACHE_WRITE, "cache_write_tokens")      /* part of INPUT */         \
	X(CACHE_WRITE_1H, "cache_write_1h_tokens")/* part of CACHE_WRITE */   \
	X(INPUT_AUDIO, "input_audio_tokens")      /* part of INPUT */         \
	X(INPUT_IMAGE, "input_image_tokens")      /* part of INPUT */         \
	X(OUTPUT, "output_tokens")                                            \
	X(REASONING, "reasoning_tokens")          /* part of OUTPUT */        \
	X(OUTPUT_AUDIO, "output_audio_tokens")    /* part of OUTPUT */        \
	X(OUTPUT_IMAGE, "output_image_tokens")    /* part of OUTPUT */        \
	X(WEB_SEARCH, "web_searches")             /* calls */                 \
	X(IMAGES, "images")                       /* pictures made */         \
	X(CHARACTERS, "input_characters")         /* speech */                \
	X(AUDIO_MS, "audio_ms")                   /* transcription */

enum sl_usage_class {
#define SL_USAGE_ENUM(id, name) SL_USAGE_##id,
	SL_USAGE_CLASSES(SL_USAGE_ENUM)
#undef SL_USAGE_ENUM
	SL_USAGE_COUNT,
};

/* How the numbers became known. */
enum sl_usage_source {
	SL_USAGE_NONE,     /* nothing known (a failed request, an endpoint without usage) */
	SL_USAGE_REPORTED, /* the provider said so, finally */
	SL_USAGE_PARTIAL,  /* the provider's last interim figure before a cut */
	SL_USAGE_COUNTED,  /* counted here */
	SL_USAGE_BOUND,    /* the upper bound that was held */
};

struct sl_usage {
	int64_t              count[SL_USAGE_COUNT];
	uint32_t             present; /* bit 1 << class */
	enum sl_usage_source source;
};

static inline void
sl_usage_set(struct sl_usage *usage, enum sl_usage_class class_, int64_t count)
{
	usage->count[class_] = count < 0 ? 0 : count;
	usage->present |= 1u << class_;
}

static inline bool
sl_usage_has(const struct sl_usage *usage, enum sl_usage_class class_)
{
	return (usage->present >> class_) & 1u;
}

/* 0 when absent. */
static inline int64_t
sl_usage_get(const struct sl_usage *usage, enum sl_usage_class class_)
{
	return sl_usage_has(usage, class_) ? usage->count[class_] : 0;
}

const char *sl_usage_class_name(enum sl_usage_class class_);
const char *sl_usage_source_name(enum sl_usage_source source); /* "reported", ... */

/* Snapshots are cumulative, never summed: every class present in `later`
 * replaces the one in `usage`. */
void sl_usage_merge(struct sl_usage *usage, const struct sl_usage *later);

/* Whether the parts fit in their totals (CACHE_READ + CACHE_WRITE <= INPUT ...). */
bool sl_usage_consistent(const struct sl_usage *usage);

/* Sums of what ended in one hour. */
struct sl_usage_hour {
	int64_t hour; /* since 1970 */
	int64_t requests, input_tokens, output_tokens, cost_nanousd;
};

/* What to tell of the use of a key. Texts that are empty narrow nothing. */
struct sl_usage_question {
	int64_t         since_wall_ms, until_wall_ms; /* [since, until) */
	struct sl_slice provider, model, team, end_user, tag;
	bool            times; /* struct sl_usage_times too */
	uint32_t        calls; /* and so many of the newest requests, one by one */
};

/* How the requests of a question went: those that a provider was asked for, and those
 * that were answered from what is kept. */
struct sl_usage_times {
	int64_t  requests, failed, cached; /* failed: told a status from 400, or broken off */
	uint64_t total_us; /* all of them, from the request's first byte to the end */
	uint64_t p99_us;   /* to 1.6 % */
};

/* One request, refused ones included. */
struct sl_usage_call {
	struct sl_slice request_id, provider, model, operation, end_user, tag;
	int64_t         end_wall_ms, status, input_tokens, output_tokens, cost_nanousd, total_us;
	bool            priced, stream, cached;
};

#endif
