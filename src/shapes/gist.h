/* gist.h - what a whole answer says, as far as judging it needs.
 */
#ifndef SL_SHAPES_GIST_H
#define SL_SHAPES_GIST_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"

/* Filled by a shape's read_gist from a body that read_reply took for good. */
struct sl_gist {
	struct sl_slice text;      /* of the first choice, joined; on the arena or the body */
	bool            acts;      /* it calls a tool, or holds something other than text */
	bool            refused;   /* the provider says so: a refusal, a filter */
	bool            truncated; /* it ended at a limit of tokens */
};

void sl_gist_openai_chat(struct sl_slice body, struct sl_arena *arena, struct sl_gist *out);
void sl_gist_openai_responses(struct sl_slice body, struct sl_arena *arena,
                                struct sl_gist *out);
void sl_gist_anthropic(struct sl_slice body, struct sl_arena *arena, struct sl_gist *out);
void sl_gist_gemini(struct sl_slice body, struct sl_arena *arena, struct sl_gist *out);

/* Whether a request wants JSON, and by which schema (SL_JSON_NONE: any). body is the
 * request's, validated; every API's own members are known. */
bool sl_gist_wants_json(struct sl_slice body, struct sl_json *schema);

/* A request that asks one question, in the API of the first argument's family:
 * "openai_chat", "openai_responses", "anthropic_messages", "gemini_generate". False:
 * not one of these. */
bool sl_gist_question(const char *shape, struct sl_slice question, struct sl_buf *out);

#endif
