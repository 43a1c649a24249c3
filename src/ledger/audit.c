/* audit.c - the audit log's chain.
 */
#include "ledger/audit.h"

#include <openssl/evp.h>

static bool
put_u64(EVP_MD_CTX *hash, uint64_t value)
{
	unsigned char bytes[8];

	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char)(value >> 8 * i);
	return EVP_DigestUpdate(hash, bytes, sizeof(bytes)) == 1;
}

/* With its length, so that no byte can move from one field to the next. */
static bool
put_text(EVP_MD_CTX *hash, struct sl_slice text)
{
	return put_u64(hash, text.len) &&
	       (text.len == 0 || EVP_DigestUpdate(hash, text.ptr, text.len) == 1);
}

static bool
chain_of(const unsigned char before[SL_AUDIT_CHAIN_SIZE], const struct sl_audit_row *row,
         unsigned char out[SL_AUDIT_CHAIN_SIZE])
{
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	bool ok = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1 &&
	          EVP_DigestUpdate(hash, before, SL_AUDIT_CHAIN_SIZE) == 1 &&
	          put_u64(hash, (uint64_t)row->id) && put_u64(hash, (uint64_t)row->wall_ms) &&
	          put_text(hash, row->actor) && put_text(hash, row->action) &&
	          put_text(hash, row->target) && put_text(hash, row->before_json) &&
	          put_text(hash, row->after_json) && EVP_DigestFinal_ex(hash, out, NULL) == 1;

	EVP_MD_CTX_free(hash);
	return ok;
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
	if (!chain_of(before, &row, row.chain))
		return SL_ENOMEM;
	return ops->tenants->audit_add(conn, &row);
}

struct walk {
	struct sl_audit_check *check;
	int64_t                id;
	unsigned char          chain[SL_AUDIT_CHAIN_SIZE];
	bool                   failed;
};

static bool
check_row(void *context, const struct sl_audit_row *row)
{
	struct walk *walk = context;
	unsigned char chain[SL_AUDIT_CHAIN_SIZE];

	walk->check->rows++;
	walk->failed = !chain_of(walk->chain, row, chain);
	if (walk->failed)
		return false;
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
	enum sl_err err;

	*check = (struct sl_audit_check){ 0 };
	err = ops->tenants->audit_each(conn, 0, 0, false, check_row, &walk);
	return err == SL_OK && walk.failed ? SL_ENOMEM : err;
}
