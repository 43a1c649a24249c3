/* mock.h - a simulated provider, for first steps, tests and benchmarks.
 *
 * Speaks OpenAI chat, completions, responses, embeddings and moderations,
 * Anthropic messages and count_tokens, Gemini generateContent and its
 * neighbours; answers at once or in paced chunks, with usage that adds up, and
 * breaks on request. What a request wants is said in one header that the
 * gateway passes on:
 *
 *   x-mock: chunks=50, chunk_ms=20, first_ms=300, size=227, input=1000,
 *           status=429, retry_after=3, cut=2, cut_byte=300, hang=1, garbage=1
 *
 *   chunks       pieces of content            size    bytes of one piece
 *   first_ms     delay before the reply head  input   input tokens to report
 *   chunk_ms     delay between pieces         output  output tokens to report
 *   status       answer with this error       cut     close after n pieces
 *   cut_byte     close after n bytes of the body, whole answers and streams
 *   hang         never answer (stops by itself after two minutes)
 *   garbage      answer with bytes that are no reply
 *
 * owner: loop.
 */
#ifndef SL_MOCK_MOCK_H
#define SL_MOCK_MOCK_H

#include <stdint.h>

#include "base/slice.h"
#include "net/server.h"

struct sl_mock_options {
	uint32_t chunks;     /* pieces of content */
	uint32_t chunk_size; /* bytes of a piece; 0: a word */
	uint32_t chunk_ms;
	uint32_t first_ms;
	int64_t  input_tokens;  /* -1: estimated from the body */
	int64_t  output_tokens; /* -1: one per piece */
	int      status;        /* 0: success */
	uint32_t retry_after_s;
	int64_t  cut;           /* -1: never */
	int64_t  cut_byte;      /* -1: never */
	bool     hang;
	bool     garbage;
};
/* 16 pieces, no delays. */
extern const struct sl_mock_options sl_mock_options_default;

struct sl_mock;

/* Listens on host:port (0: any) within the loop. NULL: *reason. */
struct sl_mock *sl_mock_new(struct sl_loop *loop, const char *host, uint16_t port,
                            const struct sl_mock_options *defaults, uint16_t *bound_port,
                            const char **reason);
void sl_mock_free(struct sl_mock *mock);

/* The same on a thread of its own, for the built-in provider: returns once it
 * listens. */
struct sl_mock_thread;
struct sl_mock_thread *sl_mock_thread_start(const struct sl_mock_options *defaults,
                                            uint16_t *bound_port, const char **reason);
void sl_mock_thread_stop(struct sl_mock_thread *thread);

#endif
