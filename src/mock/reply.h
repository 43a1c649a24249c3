/* reply.h - what the simulated provider says, in each API's grammar. Pure. */
#ifndef SL_MOCK_REPLY_H
#define SL_MOCK_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"
#include "mock/mock.h"

enum sl_mock_kind {
	SL_MOCK_CHAT,
	SL_MOCK_COMPLETIONS,
	SL_MOCK_RESPONSES,
	SL_MOCK_EMBEDDINGS,
	SL_MOCK_MODERATIONS,
	SL_MOCK_MESSAGES,
	SL_MOCK_INPUT_TOKENS,
	SL_MOCK_COUNT_TOKENS,
	SL_MOCK_GEMINI,
	SL_MOCK_GEMINI_COUNT,
	SL_MOCK_GEMINI_EMBED,
	SL_MOCK_GEMINI_BATCH_EMBED,
	SL_MOCK_UNKNOWN,
};

struct sl_mock_reply {
	enum sl_mock_kind      kind;
	struct sl_mock_options options;
	bool                   stream;
	bool                   array_stream; /* Gemini without alt=sse */
	bool                   with_usage;   /* chat: stream_options.include_usage */
	bool                   base64;       /* embeddings */
	int64_t                dimensions;
	int64_t                inputs;       /* embeddings: how many */
	int64_t                input_tokens, output_tokens;
	int64_t                created_s;
	char                   model[128];
	char                   id[40];
};

/* Which API a path belongs to. */
enum sl_mock_kind sl_mock_kind_of(struct sl_slice path);
/* Fills the reply from the request; false: the body is no JSON object. */
bool sl_mock_read(struct sl_mock_reply *reply, struct sl_slice path, struct sl_slice query,
                  struct sl_slice body);

/* A whole reply. */
void sl_mock_put_whole(const struct sl_mock_reply *reply, struct sl_buf *out);
/* A stream: begin, piece 0..chunks-1, end. */
void sl_mock_put_begin(const struct sl_mock_reply *reply, struct sl_buf *out);
void sl_mock_put_piece(const struct sl_mock_reply *reply, uint32_t index, struct sl_buf *out);
void sl_mock_put_end(const struct sl_mock_reply *reply, struct sl_buf *out);
/* The API's own error envelope. */
void sl_mock_put_error(enum sl_mock_kind kind, int status, struct sl_buf *out);

#endif
