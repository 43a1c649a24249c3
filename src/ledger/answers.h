/* answers.h - what was paid for once is not paid for twice: Idempotency-Key.
 *
 * A caller's key names one request of one virtual key. The first to come claims the
 * name and is served; its answer is kept for a day and given to everybody who asks the
 * same again. Kept answers are in memory, bounded in number and bytes (the oldest go
 * first), and in the store, so that they survive a restart. shared: atomic.
 *
 *   (none) --claim--> CLAIMED --keep--> ANSWERED --a day, or no room--> (none)
 *                        |------drop--------------------------------------^
 *                        '--a crash--> CUT OFF, if something was bought --'
 *
 * A claim is in the ledger's journal before anything is bought under it (ledger/money.h),
 * and until its answer is in the store. One that a crash left there says at the next start
 * what was charged for it; where that is nothing at all, the name is free.
 */
#ifndef SL_LEDGER_ANSWERS_H
#define SL_LEDGER_ANSWERS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
	SL_ANSWERS_MAX = 16384,                 /* names, in flight and answered */
	SL_ANSWERS_BYTES_MAX = 64 * 1024 * 1024,
	SL_ANSWER_BYTES_MAX = 1024 * 1024,      /* a larger body is not kept */
	SL_ANSWER_TOLD_MAX = 4096,
	SL_ANSWER_NAME_MAX = 255,
	SL_ANSWER_TTL_MS = 24 * 3600 * 1000,
};

struct sl_money;
struct sl_money_claim;
struct sl_store;
struct sl_answers;
struct sl_answer; /* reference-counted; frozen once it is answered */

/* Reads what the store has, the ledger having been recovered (NULL: there is none).
 * NULL: no memory. The store must outlive it; the jobs of both end with sl_store_free. */
struct sl_answers *sl_answers_new(struct sl_store *store, struct sl_money *money,
                                  int64_t now_wall_ms);
/* Before the ledger ends. */
void sl_answers_leave_money(struct sl_answers *answers);
/* After sl_store_free. NULL is fine. */
void sl_answers_free(struct sl_answers *answers);

/* What is asked: who, under which name, and everything that decides the answer. */
struct sl_answer_query {
	struct sl_slice key_id, name;
	struct sl_slice path, query, body;
	int64_t         now_wall_ms;
};
/* SL_OK: the name is the caller's until keep or drop. SL_EEXIST: *out was answered (to
 * be given back). SL_EBUSY: it is being served. SL_EINVAL: the name belongs to another
 * request. SL_ELIMIT: it was answered, and the answer was too large to be kept.
 * SL_ECLOSED: *out was cut off by a crash after something was bought (to be given back).
 * SL_EFULL: no room for more names in flight. SL_ENOMEM. */
enum sl_err sl_answers_claim(struct sl_answers *answers, const struct sl_answer_query *query,
                             struct sl_answer **out);
/* The claim is answered; body is taken over. body failed or too large: only that it was
 * answered is kept. told: what the answer's head said of who gave it and why, in the
 * caller's words; not kept when it is larger than SL_ANSWER_TOLD_MAX. */
void sl_answers_keep(struct sl_answers *answers, struct sl_answer *claim_take, int status,
                     struct sl_slice content_type, struct sl_slice told,
                     struct sl_buf *body_take);
/* Not answered: the name is free again. */
void sl_answers_drop(struct sl_answers *answers, struct sl_answer *claim_take);

/* For the hold of an attempt under the claim, and that there was one: the request is the
 * claim's. */
const struct sl_money_claim *sl_answer_claim(const struct sl_answer *claim);
void sl_answer_recorded(struct sl_answer *claim, const unsigned char request_id[16]);

int sl_answer_status(const struct sl_answer *answer);
struct sl_slice sl_answer_content_type(const struct sl_answer *answer);
struct sl_slice sl_answer_body(const struct sl_answer *answer);
struct sl_slice sl_answer_told(const struct sl_answer *answer);
/* Of one that was cut off. */
int64_t sl_answer_charged(const struct sl_answer *answer);
const unsigned char *sl_answer_request(const struct sl_answer *answer); /* 16 bytes */
int64_t sl_answer_begun_ms(const struct sl_answer *answer); /* wall clock */
void sl_answer_unref(struct sl_answer *answer);

#endif
