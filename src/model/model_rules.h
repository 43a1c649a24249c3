/* model_rules.h - per-model facts that a translation must know, as data.
 *
 * The rows are in model_rules.def. Limits (context, most output tokens) are the
 * catalogue's; here stands what a provider answers with a 400.
 */
#ifndef SL_MODEL_MODEL_RULES_H
#define SL_MODEL_MODEL_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* id: what it means */
#define SL_MODEL_RULE_FLAGS(X)                                                          \
	X(COMPLETION_TOKENS) /* chat: max_completion_tokens, never max_tokens */        \
	X(NO_SAMPLING)       /* temperature, top_p, top_k are refused */                \
	X(ONE_SAMPLING)      /* temperature or top_p, not both */                       \
	X(NO_STOP)           /* stop sequences are refused */                           \
	X(EFFORT)            /* chat: takes reasoning_effort */                         \
	X(RESPONSES)         /* keeps its reasoning over the Responses API only */      \
	X(THINKING_BUDGET)   /* reasoning is asked for by a budget of tokens */         \
	X(THINKING_ADAPTIVE) /* Anthropic: thinking.type adaptive and an effort */      \
	X(THINKING_LEVEL)    /* Gemini: thinkingLevel */                                \
	X(THINKING_ALWAYS)   /* reasoning cannot be switched off */                     \
	X(JSON_SCHEMA)       /* structured output and JSON Schema are native */         \
	X(NO_PREFILL)        /* an assistant turn at the end is refused */              \
	X(CALL_IDS)          /* Gemini: functionCall.id is known */                     \
	X(SIGNATURES)        /* Gemini: a call without its signature is refused */      \
	X(REASONING_ECHO)    /* reasoning_content must come back on assistant turns */  \
	X(NO_FORCED_TOOL)    /* tool_choice may be auto or none only */                 \
	X(SHORT_CALL_IDS)    /* tool call ids are nine letters and digits */

enum sl_model_rule_bit {
#define SL_MODEL_RULE_BIT(id) SL_MODEL_RULE_BIT_##id,
	SL_MODEL_RULE_FLAGS(SL_MODEL_RULE_BIT)
#undef SL_MODEL_RULE_BIT
};
enum sl_model_rule {
#define SL_MODEL_RULE_FLAG(id) SL_RULE_##id = 1 << SL_MODEL_RULE_BIT_##id,
	SL_MODEL_RULE_FLAGS(SL_MODEL_RULE_FLAG)
#undef SL_MODEL_RULE_FLAG
};

/* All rules that hold for a provider's id of a model: a set of SL_RULE_*. */
uint32_t sl_model_rules(struct sl_slice model);

#endif
