/* model_rules.c - matching a model's id with the rows. */
#include "model/model_rules.h"

#include <stddef.h>
#include <string.h>

static const struct {
	struct sl_slice pattern;
	uint32_t        rules;
} rows[] = {
#define SL_MODEL_RULE(pattern, rules) { SL_SLICE_INIT(pattern), rules },
#define COMPLETION_TOKENS SL_RULE_COMPLETION_TOKENS
#define NO_SAMPLING       SL_RULE_NO_SAMPLING
#define ONE_SAMPLING      SL_RULE_ONE_SAMPLING
#define NO_STOP           SL_RULE_NO_STOP
#define EFFORT            SL_RULE_EFFORT
#define RESPONSES         SL_RULE_RESPONSES
#define THINKING_BUDGET   SL_RULE_THINKING_BUDGET
#define THINKING_ADAPTIVE SL_RULE_THINKING_ADAPTIVE
#define THINKING_LEVEL    SL_RULE_THINKING_LEVEL
#define THINKING_ALWAYS   SL_RULE_THINKING_ALWAYS
#define JSON_SCHEMA       SL_RULE_JSON_SCHEMA
#define NO_PREFILL        SL_RULE_NO_PREFILL
#define CALL_IDS          SL_RULE_CALL_IDS
#define SIGNATURES        SL_RULE_SIGNATURES
#define REASONING_ECHO    SL_RULE_REASONING_ECHO
#define NO_FORCED_TOOL    SL_RULE_NO_FORCED_TOOL
#define SHORT_CALL_IDS    SL_RULE_SHORT_CALL_IDS
#include "model/model_rules.def"
#undef SL_MODEL_RULE
};

/* Classic two-pointer match; the last star is where to try again. */
static bool
matches(struct sl_slice pattern, struct sl_slice text)
{
	size_t p = 0, t = 0, star = SIZE_MAX, again = 0;

	while (t < text.len) {
		if (p < pattern.len && pattern.ptr[p] == '*') {
			star = p++;
			again = t;
		} else if (p < pattern.len && pattern.ptr[p] == text.ptr[t]) {
			p++;
			t++;
		} else if (star != SIZE_MAX) {
			p = star + 1;
			t = ++again;
		} else {
			return false;
		}
	}
	while (p < pattern.len && pattern.ptr[p] == '*')
		p++;
	return p == pattern.len;
}

/* The model's own name: "us.anthropic.claude-opus-4-8-v1:0", "publishers/x/m". */
static struct sl_slice
bare(struct sl_slice model)
{
	static const struct sl_slice vendors[] = {
		SL_SLICE_INIT("anthropic."), SL_SLICE_INIT("mistral."), SL_SLICE_INIT("deepseek."),
		SL_SLICE_INIT("moonshot."), SL_SLICE_INIT("openai."),
	};

	for (size_t i = model.len; i > 0; i--)
		if (model.ptr[i - 1] == '/') {
			model = sl_slice_from(model, i);
			break;
		}
	if (sl_slice_find(model, '.') < 0)
		return model;
	for (size_t i = 0; i < sizeof(vendors) / sizeof(vendors[0]); i++) {
		ptrdiff_t at = sl_slice_search(model, vendors[i]);

		if (at >= 0 && at <= 8)
			return sl_slice_from(model, (size_t)at + vendors[i].len);
	}
	return model;
}

static uint32_t
find_rules(struct sl_slice model)
{
	uint32_t rules = 0;

	model = bare(model);
	if (model.len == 0)
		return 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char first = rows[i].pattern.ptr[0];

		/* Most rows are of another family, which their first letter tells. */
		if ((first == model.ptr[0] || first == '*') && matches(rows[i].pattern, model))
			rules |= rows[i].rules;
	}
	return rules;
}

/* Each attempt asks, and few models are asked of again and again: each thread remembers
 * some. The answer depends on nothing but the name. */
uint32_t
sl_model_rules(struct sl_slice model)
{
	enum { SLOTS = 16, NAME_MAX_LEN = 58 };
	static _Thread_local struct {
		uint8_t  len;
		char     name[NAME_MAX_LEN];
		uint32_t rules;
	} remembered[SLOTS];
	size_t slot;

	if (model.len == 0 || model.len > NAME_MAX_LEN)
		return find_rules(model);
	slot = (model.len * 7 + (unsigned char)model.ptr[model.len - 1] +
	        (unsigned char)model.ptr[model.len / 2]) % SLOTS;
	if (remembered[slot].len != model.len ||
	    memcmp(remembered[slot].name, model.ptr, model.len) != 0) {
		remembered[slot].rules = find_rules(model);
		memcpy(remembered[slot].name, model.ptr, model.len);
		remembered[slot].len = (uint8_t)model.len;
	}
	return remembered[slot].rules;
}
