/* money_lost.c - from attempts to records.
 *
 * A request's record is made of its attempts: those that were just resolved, and where one
 * of them was not the first, those of the store. (Attempts before it have rows of their
 * own: money_slip.c.) Who and where are numbers there.
 */
#include "ledger/money_lost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/compiler.h"
#include "base/rand.h"
#include "ledger/money.h"
#include "model/usage.h"

enum { ID_SIZE = 4 + SL_ULID_LEN + 1, DATE_SIZE = 12, NAMES_MAX = 256 << 20, SLACK_MS = 1000 };
#define HEDGED_MS INT64_C(120000) /* attempts of one request side by side begin within */

enum sl_err
money_lost_add(struct money_lost *lost, const struct sl_attempt_row *row)
{
	if (lost->count == lost->size) {
		size_t size = lost->size * 2 + 64;
		struct sl_attempt_row *rows = realloc(lost->rows, size * sizeof(*rows));

		if (!rows)
			return SL_ENOMEM;
		lost->rows = rows;
		lost->size = size;
	}
	lost->rows[lost->count++] = *row;
	return SL_OK;
}

void
money_lost_release(struct money_lost *lost)
{
	free(lost->rows);
	*lost = (struct money_lost){ 0 };
}

/* --- names ---------------------------------------------------------------------------- */

struct name {
	uint32_t        number;
	uint8_t         kind;
	struct sl_slice text;
};

struct names {
	struct name    *list; /* by number */
	size_t          count;
	struct sl_arena arena;
	bool            failed;
};

static int
by_number(const void *a, const void *b)
{
	uint32_t x = ((const struct name *)a)->number, y = ((const struct name *)b)->number;

	return x < y ? -1 : x > y;
}

static struct name *
find_name(const struct names *names, uint32_t number)
{
	const struct name key = { .number = number };

	return bsearch(&key, names->list, names->count, sizeof(key), by_number);
}

struct reading {
	struct names *names;
	struct name  *name;
};

static void
take_name(void *context, const struct sl_money_owner_row *row)
{
	struct reading *reading = context;

	reading->name->kind = row->kind;
	reading->name->text = sl_arena_dup(&reading->names->arena, row->name);
	if (row->name.len > 0 && reading->name->text.len == 0)
		reading->names->failed = true;
}

/* Those of all numbers in the rows. */
static enum sl_err
read_names(const struct money_lost *lost, const struct sl_store_ops *ops, void *conn,
           struct names *names)
{
	enum sl_err err = SL_OK;
	size_t count = 0;

	names->list = calloc(lost->count * (SL_MONEY_SCOPES_MAX + 1), sizeof(*names->list));
	if (!names->list)
		return SL_ENOMEM;
	for (size_t i = 0; i < lost->count; i++) {
		for (size_t s = 0; s < lost->rows[i].scope_count; s++)
			names->list[count++].number = lost->rows[i].owner[s];
		names->list[count++].number = lost->rows[i].target;
	}
	qsort(names->list, count, sizeof(*names->list), by_number);
	for (size_t i = 0; i < count && (err == SL_OK || err == SL_ENOTFOUND); i++) {
		struct reading reading = { names, &names->list[names->count] };

		if (i > 0 && names->list[i - 1].number == names->list[i].number)
			continue;
		names->count++;
		reading.name->number = names->list[i].number;
		err = ops->money->owner_get(conn, reading.name->number, take_name, &reading);
	}
	if (names->failed)
		return SL_ENOMEM;
	return err == SL_ENOTFOUND ? SL_OK : err;
}

/* --- one request ------------------------------------------------------------------------ */

/* In order: rows of one request stand together, its attempts by their numbers. */
static int
by_request(const void *a, const void *b)
{
	const struct sl_attempt_row *x = a, *y = b;
	int order = memcmp(x->request, y->request, sizeof(x->request));

	if (order == 0)
		order = x->attempt_no < y->attempt_no ? -1 : x->attempt_no > y->attempt_no;
	return order;
}

/* Milliseconds since 1970, as the id says. */
static int64_t
asked_wall_ms(const unsigned char request[16])
{
	int64_t wall_ms = 0;

	for (int i = 0; i < 6; i++)
		wall_ms = wall_ms << 8 | request[i];
	return wall_ms;
}

struct request {
	struct sl_record_source      source;
	const struct sl_attempt_row *rows; /* that were resolved */
	size_t                       count;
	bool                         known; /* it has a record */
	bool                         given;
	struct sl_record_row         record;
	int64_t                      attempts, cost;
	bool                         unpriced, bought;
	char                         id[ID_SIZE], date[DATE_SIZE];
};

static void
found(void *context, const struct sl_record_row *row)
{
	(void)row;
	((struct request *)context)->known = true;
}

static void
add_tokens(int64_t *sum, int64_t tokens)
{
	if (tokens > 0)
		*sum = tokens + (*sum == SL_RECORD_NULL ? 0 : *sum);
}

static void
add_attempt(struct request *request, const struct sl_attempt_row *row)
{
	struct sl_record_row *record = &request->record;

	request->attempts++;
	if (row->end_wall_ms > record->end_wall_ms)
		record->end_wall_ms = row->end_wall_ms;
	if (row->state == SL_ATTEMPT_RELEASED)
		return;
	request->bought = true;
	request->cost += row->charged + row->overrun;
	request->unpriced |= row->price_version == 0 && row->charged == 0;
	add_tokens(&record->usage[SL_USAGE_INPUT], row->input_tokens);
	add_tokens(&record->usage[SL_USAGE_OUTPUT], row->output_tokens);
	record->usage_source = sl_slice_str(
	    sl_usage_source_name((enum sl_usage_source)row->usage_source));
	if (row->price_version > 0) {
		snprintf(request->date, sizeof(request->date), "%04u-%02u-%02u",
		         row->price_version / 10000 % 10000, row->price_version / 100 % 100,
		         row->price_version % 100);
		record->price_date = sl_slice_str(request->date);
	}
}

/* One of the store that is not among the resolved. */
static bool
add_stored(void *context, const struct sl_attempt_row *row)
{
	struct request *request = context;

	for (size_t i = 0; i < request->count; i++)
		if (memcmp(request->rows[i].id, row->id, sizeof(row->id)) == 0)
			return true;
	add_attempt(request, row);
	return true;
}

static void
put_names(struct request *request, const struct names *names, const struct sl_attempt_row *row)
{
	struct sl_record_row *record = &request->record;
	const struct name *target = find_name(names, row->target);

	for (size_t i = 0; i < row->scope_count; i++) {
		const struct name *name = find_name(names, row->owner[i]);
		struct sl_slice *const places[SL_SCOPE_KIND_COUNT] = {
			[SL_SCOPE_KEY] = &record->key_id,
			[SL_SCOPE_TEAM] = &record->team,
			[SL_SCOPE_WORKSPACE] = &record->workspace,
			[SL_SCOPE_END_USER] = &record->end_user,
		};

		if (name && name->kind < SL_SCOPE_KIND_COUNT && places[name->kind])
			*places[name->kind] = name->text;
	}
	if (target && row->target > 0) {
		record->model_served = target->text;
		record->provider = sl_slice_cut(&record->model_served, '/');
	}
}

static void
begin_record(struct request *request)
{
	struct sl_record_row *record = &request->record;

	*record = (struct sl_record_row){
#define SL_RECORD_TEXT(name, max_size)
#define SL_RECORD_INT(name) .name = SL_RECORD_NULL,
#include "store/records.def"
#undef SL_RECORD_TEXT
#undef SL_RECORD_INT
	};
	for (int i = 0; i < SL_USAGE_COUNT; i++)
		record->usage[i] = SL_RECORD_NULL;
	memcpy(request->id, "req_", 4);
	sl_ulid_text(request->rows[0].request, request->id + 4);
	record->request_id = sl_slice_str(request->id);
	record->outcome = SL_SLICE("killed");
	record->begin_wall_ms = asked_wall_ms(request->rows[0].request);
}

static bool
give_record(struct sl_record_source *source, struct sl_record_row *row)
{
	struct request *request = SL_CONTAINER(source, struct request, source);
	bool first = !request->given;

	request->given = true;
	if (first)
		*row = request->record;
	return first;
}

static enum sl_err
record_request(struct request *request, const struct names *names,
               const struct sl_store_ops *ops, void *conn, uint64_t *written)
{
	const struct sl_attempt_row *last = &request->rows[request->count - 1];
	enum sl_err err;

	begin_record(request);
	err = ops->record_find(conn, request->record.request_id, SL_RECORD_NULL, found, request);
	if (request->known || (err != SL_OK && err != SL_ENOTFOUND))
		return err;
	for (size_t i = 0; i < request->count; i++)
		add_attempt(request, &request->rows[i]);
	err = SL_OK;
	if (last->attempt_no > 1)
		err = ops->money->attempt_of(conn, last->request,
		                             request->record.begin_wall_ms - SLACK_MS,
		                             last->begin_wall_ms + HEDGED_MS, add_stored, request);
	put_names(request, names, last);
	request->record.attempts = request->attempts;
	request->record.unpriced = request->unpriced;
	if (request->bought && !request->unpriced)
		request->record.cost_nanousd = request->cost;
	if (err == SL_OK)
		err = ops->records_append(conn, &request->source);
	*written += err == SL_OK;
	return err;
}

enum sl_err
money_lost_record(struct money_lost *lost, const struct sl_store_ops *ops, void *conn,
                  uint64_t *written)
{
	struct names names = { .list = NULL };
	enum sl_err err;
	size_t count;

	if (lost->count == 0)
		return SL_OK;
	sl_arena_init(&names.arena, 4096, NAMES_MAX);
	err = read_names(lost, ops, conn, &names);
	qsort(lost->rows, lost->count, sizeof(*lost->rows), by_request);
	for (size_t i = 0; i < lost->count && err == SL_OK; i += count) {
		struct request request = { .source.next = give_record, .rows = lost->rows + i };

		for (count = 1; i + count < lost->count; count++)
			if (memcmp(lost->rows[i].request, lost->rows[i + count].request,
			           sizeof(lost->rows[i].request)) != 0)
				break;
		request.count = count;
		err = record_request(&request, &names, ops, conn, written);
	}
	sl_arena_release(&names.arena);
	free(names.list);
	return err;
}
