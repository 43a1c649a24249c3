/* audit.c - the audit log's chain.
 */
#include "ledger/audit.h"

#include "base/sha256.h"

static void
put_u64(struct sl_sha256 *hash, uint64_t value)
{
	char bytes[8];

	for (int i = 0; i < 8; i++)
		bytes[i] = (char)(unsigned char)(value >> 8 * i);
	sl_sha256_add(hash, sl_slice_make(bytes, sizeof(bytes)));
}

static void
chain_of(const unsigned char before[SL_AUDIT_CHAIN_SIZE], const struct sl_audit_row *row,
         unsigned char out[SL_AUDIT_CHAIN_SIZE])
{
	const struct sl_slice texts[] = { row->actor, row->action, row->target, row->before_json,
		                          row->after_json };
	struct sl_sha256 hash;

	sl_sha256_begin(&hash);
	sl_sha256_add(&hash, sl_slice_make((const char *)before, SL_AUDIT_CHAIN_SIZE));
	put_u64(&hash, (uint64_t)row->id);
	put_u64(&hash, (uint64_t)row->wall_ms);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		sl_sha256_add_part(&hash, texts[i]);
	sl_sha256_end(&hash, out);
}

enum sl_err
sl_audit_add(const struct sl_store_ops *ops, void *conn, const struct sl_audit_entry *entry,
             int64_t now_wall_ms)
{
	struct sl_audit_row row = {
		.wall_ms = now_wall_ms,
		.actor = sl_slice_upto(entry->actor, SL_AUDIT_ACTOR_MAX),
		.action = entry->action,
		.target = entry->target,
		.before_json = entry->before_json,
		.after_json = entry->after_json,
	};
	unsigned char before[SL_AUDIT_CHAIN_SIZE];
	enum sl_err err = ops->tenants->audit_end(conn, &row.id, before);

	if (err != SL_OK)
		return err;
	row.id++;
	chain_of(before, &row, row.chain);
	return ops->tenants->audit_add(conn, &row);
}

struct walk {
	struct sl_audit_check *check;
	int64_t                id;
	unsigned char          chain[SL_AUDIT_CHAIN_SIZE];
};

static bool
check_row(void *context, const struct sl_audit_row *row)
{
	struct walk *walk = context;
	unsigned char chain[SL_AUDIT_CHAIN_SIZE];

	walk->check->rows++;
	chain_of(walk->chain, row, chain);
	if (row->id != walk->id + 1)
		walk->check->why = "a row before it is missing";
	else if (memcmp(chain, row->chain, sizeof(chain)) != 0)
		walk->check->why = "its chain does not fit what it says";
	if (walk->check->why)
		walk->check->bad_id = row->id;
	walk->id = row->id;
	memcpy(walk->chain, row->chain, sizeof(walk->chain));
	return !walk->check->why;
}

enum sl_err
sl_audit_verify(const struct sl_store_ops *ops, void *conn, struct sl_audit_check *check)
{
	struct walk walk = { .check = check };

	*check = (struct sl_audit_check){ 0 };
	return ops->tenants->audit_each(conn, 0, 0, false, check_row, &walk);
}
