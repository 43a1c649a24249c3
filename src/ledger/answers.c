/* answers.c - names, and the answers behind them.
 *
 * Of a name only a digest is kept, of the request as well. The store is written behind:
 * a crash may lose the last answers, never mix them up, and their claims remain. A claim
 * leaves the journal when its answer is in the store, so both may be there for a moment:
 * the answer counts then.
 */
#include "ledger/answers.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"
#include "base/sha256.h"
#include "ledger/money.h"
#include "store/store.h"

enum { DIGEST_SIZE = 32, BUCKETS = 16384, TRIM_EVERY = 256, TYPE_SIZE = 128,
       BEGUN_SLACK_MS = 1000 };

enum answer_state { CLAIMED, ANSWERED, LOST /* answered, not kept */, CUT_OFF };
_Static_assert((int)DIGEST_SIZE == (int)SL_CLAIM_DIGEST_SIZE, "digests of claims");

struct sl_answer {
	struct sl_answer   *next;  /* of the bucket */
	struct sl_list      node;  /* in answers->order, oldest first */
	atomic_uint         refs;
	bool                listed;
	enum answer_state   state; /* under the lock until ANSWERED */
	struct sl_answers  *answers;
	struct sl_money_claim claim;
	bool                recorded;  /* the claim, under this id of a request */
	unsigned char       request_id[16];
	int64_t             charged;   /* CUT_OFF */
	int                 status;
	char                type[TYPE_SIZE];
	size_t              type_len;
	struct sl_buf       body, told;
	struct sl_store_job job;
	bool                trims;
};

struct sl_answers {
	pthread_mutex_t   lock;
	struct sl_store  *store;
	struct sl_money  *money; /* NULL: none, or no more */
	struct sl_answer *buckets[BUCKETS];
	struct sl_list    order;
	size_t            count, bytes;
	uint32_t          kept; /* since the last trim */
};

/* --- digests ---------------------------------------------------------------------- */

static void
digest(const struct sl_slice *parts, size_t count, unsigned char out[DIGEST_SIZE])
{
	struct sl_sha256 hash;

	sl_sha256_begin(&hash);
	for (size_t i = 0; i < count; i++)
		sl_sha256_add_part(&hash, parts[i]);
	sl_sha256_end(&hash, out);
}

/* --- entries ------------------------------------------------------------------------ */

void
sl_answer_unref(struct sl_answer *answer)
{
	if (!answer || atomic_fetch_sub(&answer->refs, 1) != 1)
		return;
	sl_buf_release(&answer->body);
	sl_buf_release(&answer->told);
	free(answer);
}

static size_t
size_of(const struct sl_answer *answer)
{
	return answer->body.len + answer->told.len;
}

static struct sl_answer **
bucket_of(struct sl_answers *answers, const unsigned char *id)
{
	uint32_t hash;

	memcpy(&hash, id, sizeof(hash));
	return &answers->buckets[hash % BUCKETS];
}

static struct sl_answer *
find(struct sl_answers *answers, const unsigned char *id)
{
	struct sl_answer *at = *bucket_of(answers, id);

	while (at && memcmp(at->claim.name, id, DIGEST_SIZE) != 0)
		at = at->next;
	return at;
}

static void
list(struct sl_answers *answers, struct sl_answer *answer)
{
	struct sl_answer **bucket = bucket_of(answers, answer->claim.name);

	answer->next = *bucket;
	*bucket = answer;
	sl_list_push_back(&answers->order, &answer->node);
	answer->listed = true;
	answers->count++;
	answers->bytes += size_of(answer);
}

/* Takes it out, with the reference that the list had. */
static void
unlist(struct sl_answers *answers, struct sl_answer *answer)
{
	struct sl_answer **at = bucket_of(answers, answer->claim.name);

	while (*at != answer)
		at = &(*at)->next;
	*at = answer->next;
	sl_list_remove(&answer->node);
	answer->listed = false;
	answers->count--;
	answers->bytes -= size_of(answer);
	sl_answer_unref(answer);
}

/* The oldest answered ones go, and those whose time is over. Those in flight stay. */
static void
make_room(struct sl_answers *answers, int64_t now_wall_ms)
{
	struct sl_list *node = answers->order.next;

	while (node != &answers->order) {
		struct sl_answer *at = SL_CONTAINER(node, struct sl_answer, node);

		node = node->next;
		if (at->state == CLAIMED)
			continue;
		if (answers->count < SL_ANSWERS_MAX && answers->bytes <= SL_ANSWERS_BYTES_MAX &&
		    at->claim.expires_wall_ms > now_wall_ms)
			return;
		unlist(answers, at);
	}
}

static struct sl_answer *
make(struct sl_answers *answers, const void *name, const void *request, int64_t expires_wall_ms)
{
	struct sl_answer *answer = calloc(1, sizeof(*answer));

	if (!answer)
		return NULL;
	answer->answers = answers;
	memcpy(answer->claim.name, name, DIGEST_SIZE);
	memcpy(answer->claim.digest, request, DIGEST_SIZE);
	answer->claim.expires_wall_ms = expires_wall_ms;
	atomic_init(&answer->refs, 1);
	sl_buf_init(&answer->body, SL_ANSWER_BYTES_MAX);
	sl_buf_init(&answer->told, SL_ANSWER_TOLD_MAX);
	return answer;
}

/* --- the store ------------------------------------------------------------------------- */

static void
run_put(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct sl_answer *answer = SL_CONTAINER(job, struct sl_answer, job);
	const struct sl_answer_row row = {
		.id = sl_slice_make((char *)answer->claim.name, DIGEST_SIZE),
		.request = sl_slice_make((char *)answer->claim.digest, DIGEST_SIZE),
		.content_type = sl_slice_make(answer->type, answer->type_len),
		.body = sl_buf_slice(&answer->body),
		.told = sl_buf_slice(&answer->told),
		.status = answer->status,
		.expires_wall_ms = answer->claim.expires_wall_ms,
	};
	int64_t over_wall_ms = answer->claim.expires_wall_ms - SL_ANSWER_TTL_MS;

	job->err = ops->answer_put(conn, &row);
	if (job->err == SL_OK && answer->trims)
		job->err = ops->answer_trim(conn, over_wall_ms, SL_ANSWERS_MAX);
	if (job->err == SL_OK && answer->trims && ops->money)
		job->err = ops->money->claim_trim(conn, over_wall_ms);
}

static void
unclaim(const struct sl_answer *answer)
{
	struct sl_answers *answers = answer->answers;

	if (!answer->recorded)
		return;
	pthread_mutex_lock(&answers->lock);
	if (answers->money)
		sl_money_unclaim(answers->money, &answer->claim, answer->request_id);
	pthread_mutex_unlock(&answers->lock);
}

static void
put_done(struct sl_store_job *job)
{
	struct sl_answer *answer = SL_CONTAINER(job, struct sl_answer, job);

	if (job->err == SL_OK)
		unclaim(answer);
	sl_answer_unref(answer);
}

static bool
load_one(void *context, const struct sl_answer_row *row)
{
	struct sl_answers *answers = context;
	struct sl_answer *answer;

	if (row->id.len != DIGEST_SIZE || row->request.len != DIGEST_SIZE ||
	    row->content_type.len > TYPE_SIZE)
		return true;
	answer = make(answers, row->id.ptr, row->request.ptr, row->expires_wall_ms);
	if (!answer)
		return false;
	memcpy(answer->type, row->content_type.len ? row->content_type.ptr : "",
	       row->content_type.len);
	answer->type_len = row->content_type.len;
	answer->status = row->status;
	answer->state = row->status ? ANSWERED : LOST;
	if (sl_buf_append(&answer->body, row->body) != SL_OK ||
	    sl_buf_append(&answer->told, row->told) != SL_OK) {
		sl_answer_unref(answer);
		return true;
	}
	list(answers, answer);
	make_room(answers, 0);
	return true;
}

/* --- claims that a crash left --------------------------------------------------------- */

struct load {
	struct sl_store_job job;
	struct sl_answers  *answers;
	int64_t             now_wall_ms;
	const struct sl_store_ops *ops;
	void               *conn;
};

static bool
load_claim(void *context, const struct sl_claim_row *row)
{
	struct sl_answers *answers = context;
	struct sl_answer *answer;

	if (find(answers, (const unsigned char *)row->name.ptr))
		return true; /* it was answered */
	answer = make(answers, row->name.ptr, row->digest.ptr, row->expires_wall_ms);
	if (!answer)
		return false;
	answer->state = CUT_OFF;
	memcpy(answer->request_id, row->request, sizeof(answer->request_id));
	answer->charged = row->charged;
	list(answers, answer);
	return true;
}

struct bought {
	int64_t charged;
	bool    any;
};

static bool
add_bought(void *context, const struct sl_attempt_row *row)
{
	struct bought *bought = context;

	bought->any |= row->state != SL_ATTEMPT_RELEASED;
	bought->charged += row->charged;
	return true;
}

/* What the ledger says was bought under it, noted for later starts; nothing: it is free. */
static enum sl_err
judge_claim(struct load *load, struct sl_answer *answer)
{
	const struct sl_money_ops *ops = load->ops->money;
	struct sl_slice name = sl_slice_make((char *)answer->claim.name, DIGEST_SIZE);
	struct sl_claim_row row = {
		.name = name, .digest = sl_slice_make((char *)answer->claim.digest, DIGEST_SIZE),
		.expires_wall_ms = answer->claim.expires_wall_ms,
	};
	struct bought bought = { 0 };
	int64_t begun_ms = sl_answer_begun_ms(answer);
	enum sl_err err = ops->attempt_of(load->conn, answer->request_id, begun_ms - BEGUN_SLACK_MS,
	                                  answer->claim.expires_wall_ms, add_bought, &bought);

	if (err != SL_OK)
		return err;
	if (!bought.any) {
		err = ops->claim_drop(load->conn, name, answer->request_id);
		unlist(load->answers, answer);
		return err;
	}
	row.charged = answer->charged = bought.charged;
	memcpy(row.request, answer->request_id, sizeof(row.request));
	return ops->claim_put(load->conn, &row);
}

static enum sl_err
load_claims(struct load *load)
{
	struct sl_answers *answers = load->answers;
	const struct sl_money_ops *ops = load->ops->money;
	enum sl_err err = ops->claim_trim(load->conn, load->now_wall_ms);

	if (err == SL_OK)
		err = ops->claim_each(load->conn, load_claim, answers);
	for (struct sl_list *node = answers->order.next; err == SL_OK && node != &answers->order;) {
		struct sl_answer *at = SL_CONTAINER(node, struct sl_answer, node);

		node = node->next;
		if (at->state == CUT_OFF && at->charged < 0)
			err = judge_claim(load, at);
	}
	return err;
}

static void
run_load(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct load *load = SL_CONTAINER(job, struct load, job);

	job->err = ops->answer_trim(conn, load->now_wall_ms, SL_ANSWERS_MAX);
	if (job->err == SL_OK)
		job->err = ops->answer_each(conn, load_one, load->answers);
	load->ops = ops;
	load->conn = conn;
	if (job->err == SL_OK && ops->money)
		job->err = load_claims(load);
}

/* --- life --------------------------------------------------------------------------------- */

struct sl_answers *
sl_answers_new(struct sl_store *store, struct sl_money *money, int64_t now_wall_ms)
{
	struct sl_answers *answers = calloc(1, sizeof(*answers));
	struct load load = { .job.run = run_load, .answers = answers,
		             .now_wall_ms = now_wall_ms };

	if (!answers)
		return NULL;
	pthread_mutex_init(&answers->lock, NULL);
	sl_list_init(&answers->order);
	answers->store = store;
	answers->money = money;
	/* Without them requests are served all the same. */
	(void)sl_store_run(store, &load.job);
	return answers;
}

void
sl_answers_leave_money(struct sl_answers *answers)
{
	if (!answers)
		return;
	pthread_mutex_lock(&answers->lock);
	answers->money = NULL;
	pthread_mutex_unlock(&answers->lock);
}

void
sl_answers_free(struct sl_answers *answers)
{
	if (!answers)
		return;
	while (!sl_list_empty(&answers->order))
		unlist(answers, SL_CONTAINER(answers->order.next, struct sl_answer, node));
	pthread_mutex_destroy(&answers->lock);
	free(answers);
}

/* --- on the request path ---------------------------------------------------------------------- */

static enum sl_err
claim_found(struct sl_answer *found, const unsigned char *request, struct sl_answer **out)
{
	if (memcmp(found->claim.digest, request, DIGEST_SIZE) != 0)
		return SL_EINVAL;
	if (found->state == CLAIMED)
		return SL_EBUSY;
	if (found->state == LOST)
		return SL_ELIMIT;
	atomic_fetch_add(&found->refs, 1);
	*out = found;
	return found->state == CUT_OFF ? SL_ECLOSED : SL_EEXIST;
}

static enum sl_err
claim_new(struct sl_answers *answers, const unsigned char *id, const unsigned char *request,
          int64_t now_wall_ms, struct sl_answer **out)
{
	struct sl_answer *answer;

	make_room(answers, now_wall_ms);
	if (answers->count >= SL_ANSWERS_MAX)
		return SL_EFULL;
	answer = make(answers, id, request, now_wall_ms + SL_ANSWER_TTL_MS);
	if (!answer)
		return SL_ENOMEM;
	list(answers, answer);
	atomic_fetch_add(&answer->refs, 1);
	*out = answer;
	return SL_OK;
}

enum sl_err
sl_answers_claim(struct sl_answers *answers, const struct sl_answer_query *query,
                 struct sl_answer **out)
{
	unsigned char id[DIGEST_SIZE], request[DIGEST_SIZE];
	struct sl_answer *found;
	enum sl_err err;

	*out = NULL;
	digest((struct sl_slice[]){ query->key_id, query->name }, 2, id);
	digest((struct sl_slice[]){ query->path, query->query, query->body }, 3, request);
	pthread_mutex_lock(&answers->lock);
	found = find(answers, id);
	if (found && found->state != CLAIMED && found->claim.expires_wall_ms <= query->now_wall_ms) {
		unlist(answers, found);
		found = NULL;
	}
	err = found ? claim_found(found, request, out)
	            : claim_new(answers, id, request, query->now_wall_ms, out);
	pthread_mutex_unlock(&answers->lock);
	return err;
}

void
sl_answers_keep(struct sl_answers *answers, struct sl_answer *claim_take, int status,
                struct sl_slice content_type, struct sl_slice told, struct sl_buf *body_take)
{
	bool whole = !body_take->failed && body_take->len <= SL_ANSWER_BYTES_MAX &&
	             content_type.len <= TYPE_SIZE;

	pthread_mutex_lock(&answers->lock);
	assert(claim_take->listed && claim_take->state == CLAIMED);
	if (whole) {
		sl_buf_release(&claim_take->body);
		claim_take->body = *body_take;
		*body_take = (struct sl_buf){ 0 };
		memcpy(claim_take->type, content_type.len ? content_type.ptr : "", content_type.len);
		claim_take->type_len = content_type.len;
		claim_take->status = status;
		if (told.len <= SL_ANSWER_TOLD_MAX)
			sl_buf_append(&claim_take->told, told);
		answers->bytes += size_of(claim_take);
	}
	claim_take->state = whole ? ANSWERED : LOST;
	claim_take->trims = ++answers->kept % TRIM_EVERY == 0;
	pthread_mutex_unlock(&answers->lock);
	sl_buf_release(body_take);
	claim_take->job = (struct sl_store_job){ .run = run_put, .done = put_done };
	if (sl_store_submit(answers->store, &claim_take->job) != SL_OK)
		sl_answer_unref(claim_take);
}

void
sl_answers_drop(struct sl_answers *answers, struct sl_answer *claim_take)
{
	pthread_mutex_lock(&answers->lock);
	assert(claim_take->listed && claim_take->state == CLAIMED);
	unlist(answers, claim_take);
	pthread_mutex_unlock(&answers->lock);
	unclaim(claim_take);
	sl_answer_unref(claim_take);
}

const struct sl_money_claim *
sl_answer_claim(const struct sl_answer *claim)
{
	return &claim->claim;
}

void
sl_answer_recorded(struct sl_answer *claim, const unsigned char request_id[16])
{
	memcpy(claim->request_id, request_id, sizeof(claim->request_id));
	claim->recorded = true;
}

int64_t
sl_answer_charged(const struct sl_answer *answer)
{
	return answer->charged;
}

const unsigned char *
sl_answer_request(const struct sl_answer *answer)
{
	return answer->request_id;
}

int64_t
sl_answer_begun_ms(const struct sl_answer *answer)
{
	return answer->claim.expires_wall_ms - SL_ANSWER_TTL_MS;
}

int
sl_answer_status(const struct sl_answer *answer)
{
	return answer->status;
}

struct sl_slice
sl_answer_content_type(const struct sl_answer *answer)
{
	return sl_slice_make(answer->type, answer->type_len);
}

struct sl_slice
sl_answer_body(const struct sl_answer *answer)
{
	return sl_buf_slice(&answer->body);
}

struct sl_slice
sl_answer_told(const struct sl_answer *answer)
{
	return sl_buf_slice(&answer->told);
}
