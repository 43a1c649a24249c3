/* model_quality.c - a model's own head, or a tier's expectation, shifted by what the model was
 * better or worse.
 *
 * tools/train_router.py finds both, the shift on the scale of logits, from answers of models
 * by name: of public data, and of an operator's own log.
 */
#include "routing/model_quality.h"

#include <math.h>

enum { NAME_MAX_BYTES = 64 };

static const struct {
	struct sl_slice name;  /* plain: small letters and digits */
	enum sl_bucket  tier;
	float           shift;
	int             head;  /* -1: none */
} known[] = {
#include "routing/model_quality.inc"
};

static char
plain(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c | 0x20);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ? c : 0;
}

static size_t
plain_name(struct sl_slice model, char name[NAME_MAX_BYTES])
{
	size_t from = model.len, len = 0;

	while (from > 0 && model.ptr[from - 1] != '/')
		from--;
	for (size_t i = from; i < model.len && len < NAME_MAX_BYTES; i++) {
		name[len] = plain(model.ptr[i]);
		len += name[len] != 0;
	}
	return len;
}

/* Most names are of no known model: their beginning tells. */
static bool
may_be_known(struct sl_slice model)
{
	size_t from = model.len;

	while (from > 0 && model.ptr[from - 1] != '/')
		from--;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]) && from + 2 <= model.len; i++)
		if (plain(model.ptr[from]) == known[i].name.ptr[0] &&
		    plain(model.ptr[from + 1]) == known[i].name.ptr[1])
			return true;
	return false;
}

static double
by_head(struct sl_model_heads_of *heads, int head)
{
	if (!heads->read)
		sl_model_heads(heads->prompt, heads->quality);
	heads->read = true;
	return heads->quality[head];
}

static double
by_tier(double of_tier, float shift)
{
	double odds;

	of_tier = fmin(fmax(of_tier, 0.001), 0.999);
	odds = of_tier / (1 - of_tier) * exp((double)shift);
	return odds / (1 + odds);
}

bool
sl_model_quality(struct sl_slice model, const double tiers[SL_BUCKETS],
                 struct sl_model_heads_of *heads, double *quality)
{
	char name[NAME_MAX_BYTES];
	struct sl_slice found;

	if (!may_be_known(model))
		return false;
	found = sl_slice_make(name, plain_name(model, name));
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!sl_slice_starts(found, known[i].name))
			continue;
		*quality = heads && heads->prompt && known[i].head >= 0
		               ? by_head(heads, known[i].head)
		               : by_tier(tiers[known[i].tier], known[i].shift);
		return true;
	}
	return false;
}
