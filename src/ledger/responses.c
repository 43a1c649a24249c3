/* responses.c - kept answers, through the store's thread. */
#include "ledger/responses.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/log.h"
#include "store/response_store.h"
#include "store/store.h"

enum { TRIM_EVERY = 32 };

/* --- keeping ------------------------------------------------------------------------- */

struct keeping {
	struct sl_store_job    job;
	struct sl_response_row row; /* slices of `text` */
	int64_t                since_wall_ms, most_bytes;
	bool                   trims;
	struct sl_buf          text;
};

static void
run_keep(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct keeping *keeping = SL_CONTAINER(job, struct keeping, job);

	job->err = ops->responses->put(conn, &keeping->row);
	if (job->err == SL_OK && keeping->trims)
		job->err = ops->responses->trim(conn, keeping->since_wall_ms, keeping->most_bytes);
}

static void
free_keeping(struct keeping *keeping)
{
	sl_buf_release(&keeping->text);
	free(keeping);
}

static void
keep_done(struct sl_store_job *job)
{
	if (job->err != SL_OK)
		sl_log(SL_LOG_WARN, "an answer that should have been kept was not",
		       SL_LOG_Z("reason", sl_err_text(job->err)));
	free_keeping(SL_CONTAINER(job, struct keeping, job));
}

/* The elements of an array, without its brackets. */
static struct sl_slice
elements(struct sl_json array)
{
	struct sl_slice raw = array.raw;

	if (array.type != SL_JSON_ARRAY || raw.len < 2)
		return SL_SLICE_NONE;
	return sl_slice_trim(sl_slice_make(raw.ptr + 1, raw.len - 2));
}

static void
append_input(struct sl_buf *text, struct sl_slice input)
{
	struct sl_json value = sl_json_parse(input);

	if (value.type == SL_JSON_STRING) {
		sl_buf_append_str(text, "{\"type\":\"message\",\"role\":\"user\",\"content\":");
		sl_buf_append(text, value.raw);
		sl_buf_append_char(text, '}');
	} else {
		sl_buf_append(text, elements(value));
	}
}

/* Everything in one buffer; the row's slices follow its pieces. */
static void
copy_row(struct keeping *keeping, const struct sl_response_keep *what)
{
	struct sl_slice *const slices[] = { &keeping->row.id, &keeping->row.owner,
		                            &keeping->row.previous, &keeping->row.input,
		                            &keeping->row.response };
	const struct sl_slice texts[] = { what->id, what->owner, what->previous, SL_SLICE_NONE,
		                          what->response };
	struct sl_buf *text = &keeping->text;
	size_t ends[5];

	sl_buf_reserve(text, what->input.len + what->response.len + 256);
	for (size_t i = 0; i < 5; i++) {
		if (i == 3)
			append_input(text, what->input);
		else
			sl_buf_append(text, texts[i]);
		ends[i] = text->len;
	}
	for (size_t i = 0; i < 5; i++) {
		size_t at = i > 0 ? ends[i - 1] : 0;

		*slices[i] = sl_slice_make(text->ptr + at, ends[i] - at);
	}
}

bool
sl_responses_keep(struct sl_store *store, const struct sl_response_keep *what)
{
	static atomic_uint kept;
	struct keeping *keeping;

	if (what->input.len > SL_RESPONSE_BYTES_MAX || what->response.len > SL_RESPONSE_BYTES_MAX ||
	    what->id.len > SL_RESPONSE_ID_MAX || what->previous.len > SL_RESPONSE_ID_MAX)
		return false;
	keeping = calloc(1, sizeof(*keeping));
	if (!keeping)
		return false;
	sl_buf_init(&keeping->text, 2 * SL_RESPONSE_BYTES_MAX + 1024);
	copy_row(keeping, what);
	keeping->row.created_wall_ms = what->now_wall_ms;
	keeping->since_wall_ms = what->now_wall_ms - what->keep_ms;
	keeping->most_bytes = what->most_bytes;
	keeping->trims = atomic_fetch_add_explicit(&kept, 1, memory_order_relaxed) % TRIM_EVERY == 0;
	keeping->job = (struct sl_store_job){ .run = run_keep, .done = keep_done };
	if (!keeping->text.failed && sl_store_submit(store, &keeping->job) == SL_OK)
		return true;
	free_keeping(keeping);
	return false;
}

/* --- finding ------------------------------------------------------------------------- */

struct finding {
	struct sl_response_find find;
	struct sl_store_job     job;
	enum sl_response_wish   wish;
	char                    id[SL_RESPONSE_ID_MAX], owner[SL_RESPONSE_ID_MAX];
	size_t                  id_len, owner_len;
	int64_t                 since_wall_ms;
	size_t                  most_bytes;
	/* CHAIN: the links, the newest first. */
	struct sl_buf           links[SL_RESPONSE_CHAIN_MAX];
	size_t                  link_count, bytes;
};

static void
append_elements(struct sl_buf *buf, struct sl_slice more)
{
	if (more.len && buf->len)
		sl_buf_append_char(buf, ',');
	sl_buf_append(buf, more);
}

static enum sl_err
take_link(struct finding *finding, const struct sl_response_row *row)
{
	struct sl_buf *link = &finding->links[finding->link_count++];
	struct sl_json output = sl_json_get(sl_json_parse(row->response), "output");

	finding->bytes += row->input.len + output.raw.len + 2;
	if (finding->bytes > finding->most_bytes)
		return SL_ELIMIT;
	sl_buf_init(link, finding->most_bytes + 2);
	append_elements(link, row->input);
	append_elements(link, elements(output));
	finding->id_len = row->previous.len;
	if (row->previous.len)
		memcpy(finding->id, row->previous.ptr, row->previous.len);
	return link->failed ? SL_ENOMEM : SL_OK;
}

static enum sl_err
take_row(void *context, const struct sl_response_row *row)
{
	struct finding *finding = context;

	if (row->created_wall_ms < finding->since_wall_ms ||
	    row->previous.len > SL_RESPONSE_ID_MAX)
		return SL_ENOTFOUND;
	if (finding->wish == SL_RESPONSE_CHAIN)
		return take_link(finding, row);
	sl_buf_append(&finding->find.items, row->input);
	sl_buf_append(&finding->find.response, row->response);
	return finding->find.items.failed || finding->find.response.failed ? SL_ENOMEM : SL_OK;
}

static enum sl_err
read_chain(struct finding *finding, const struct sl_store_ops *ops, void *conn)
{
	struct sl_slice owner = sl_slice_make(finding->owner, finding->owner_len);
	enum sl_err err = SL_OK;

	while (err == SL_OK && finding->id_len > 0) {
		char id[SL_RESPONSE_ID_MAX];
		size_t len = finding->id_len;

		if (finding->link_count == SL_RESPONSE_CHAIN_MAX)
			return SL_ELIMIT;
		memcpy(id, finding->id, len); /* take_link writes the next one */
		err = ops->responses->get(conn, sl_slice_make(id, len), owner, take_row, finding);
	}
	for (size_t i = finding->link_count; err == SL_OK && i-- > 0;)
		append_elements(&finding->find.items, sl_buf_slice(&finding->links[i]));
	if (err == SL_OK && finding->find.items.failed)
		err = SL_ENOMEM;
	return err;
}

static void
run_find(struct sl_store_job *job, const struct sl_store_ops *ops, void *conn)
{
	struct finding *finding = SL_CONTAINER(job, struct finding, job);
	struct sl_slice id = sl_slice_make(finding->id, finding->id_len);
	struct sl_slice owner = sl_slice_make(finding->owner, finding->owner_len);

	if (finding->wish == SL_RESPONSE_CHAIN)
		job->err = read_chain(finding, ops, conn);
	else if (finding->wish == SL_RESPONSE_ONE)
		job->err = ops->responses->get(conn, id, owner, take_row, finding);
	else
		job->err = ops->responses->remove(conn, id, owner);
	for (size_t i = 0; i < finding->link_count; i++)
		sl_buf_release(&finding->links[i]);
}

static void
find_done(struct sl_store_job *job)
{
	struct finding *finding = SL_CONTAINER(job, struct finding, job);

	finding->find.err = job->err;
	finding->find.done(&finding->find);
}

struct sl_response_find *
sl_responses_find(struct sl_store *store, struct sl_loop *loop,
                  const struct sl_response_query *query,
                  void (*done)(struct sl_response_find *find), void *user)
{
	struct finding *finding;

	if (query->id.len > SL_RESPONSE_ID_MAX || query->owner.len > SL_RESPONSE_ID_MAX)
		return NULL;
	finding = calloc(1, sizeof(*finding));
	if (!finding)
		return NULL;
	finding->find.done = done;
	finding->find.user = user;
	sl_buf_init(&finding->find.items, query->most_bytes + SL_RESPONSE_CHAIN_MAX + 1);
	sl_buf_init(&finding->find.response, SL_RESPONSE_BYTES_MAX);
	finding->wish = query->wish;
	memcpy(finding->id, query->id.len ? query->id.ptr : "", query->id.len);
	finding->id_len = query->id.len;
	memcpy(finding->owner, query->owner.len ? query->owner.ptr : "", query->owner.len);
	finding->owner_len = query->owner.len;
	finding->since_wall_ms = query->since_wall_ms;
	finding->most_bytes = query->most_bytes;
	finding->job = (struct sl_store_job){ .loop = loop, .run = run_find, .done = find_done };
	if (sl_store_submit(store, &finding->job) == SL_OK)
		return &finding->find;
	sl_response_find_free(&finding->find);
	return NULL;
}

void
sl_response_find_free(struct sl_response_find *find)
{
	if (!find)
		return;
	sl_buf_release(&find->items);
	sl_buf_release(&find->response);
	free(SL_CONTAINER(find, struct finding, find));
}
