/* classify.h - what kind of request a prompt is, and how good an answer of each
 * tier of models is expected to be.
 *
 * Pure, no allocation, some microseconds. The table was trained offline by
 * tools/train_router.py; docs/model-card.md says on what, how well it does and
 * where it does not.
 */
#ifndef SL_ROUTING_CLASSIFY_H
#define SL_ROUTING_CLASSIFY_H

#include <stdbool.h>

#include "base/slice.h"
#include "model/prompt.h"

enum sl_bucket {
	SL_BUCKET_SIMPLE,
	SL_BUCKET_MEDIUM,
	SL_BUCKET_COMPLEX,
	SL_BUCKETS,
	/* Where a prompt goes that the classifier cannot judge. */
	SL_BUCKET_DEFAULT = SL_BUCKET_MEDIUM,
};

struct sl_class {
	const char    *category;   /* "code", "math", ...; static text */
	double         complexity; /* 0-1: how likely the simple tier fails */
	double         score;      /* 0-1: how much a stronger model is worth; 0.33, 0.66 */
	enum sl_bucket bucket;
	double         quality[SL_BUCKETS]; /* expected of each tier's model, 0-1 */
	double         confidence; /* that no other tier would have done better */
	bool           unsure;     /* too little known: bucket is the default */
};

struct sl_class sl_classify(const struct sl_prompt *prompt);

/* What a prompt is made of, for tables beside the classifier's own (model_heads.h). */
enum { SL_FEATURE_ROWS = 1 << 14, SL_FEATURE_SHAPES = 8 };
struct sl_features {
	uint64_t seen[SL_FEATURE_ROWS / 64]; /* a bit for each row of a table that counts */
	float    scale;                      /* of their sum */
	float    shapes[SL_FEATURE_SHAPES];
};
void sl_classify_features(const struct sl_prompt *prompt, struct sl_features *out);

/* "simple", "medium", "complex". */
struct sl_slice sl_bucket_name(enum sl_bucket bucket);
/* False: no such bucket, *out is left alone. */
bool sl_bucket_find(struct sl_slice name, enum sl_bucket *out);

#endif
