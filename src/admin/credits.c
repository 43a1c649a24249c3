/* credits.c - prepaid money: top-ups and vouchers, and what a caller's key may see of it.
 *
 * Each credit has an external id (of the payment, the invoice) that is applied once for
 * ever: who is not sure whether a call arrived sends it again. Answers come when the
 * credit is durable.
 */
#include <stdlib.h>

#include "admin/call.h"
#include "base/clock.h"
#include "base/rand.h"
#include "base/timestamp.h"
#include "ledger/audit.h"
#include "ledger/digest.h"
#include "ledger/key_policy.h"
#include "ledger/money.h"
#include "ledger/tenancy.h"

enum { EXTERNAL_ID_MAX = 128, NOTE_MAX = 512, CODE_BYTES = 20, BODY_MAX = 64 * 1024 };
static const char code_prefix[] = "voucher_";
enum { CODE_LEN = sizeof(code_prefix) - 1 + 2 * CODE_BYTES };

/* One credit or voucher under way. */
struct work {
	struct sl_money_credit  credit;
	struct sl_money_voucher voucher;
	struct sl_audit_entry   entry;
	struct admin_call      *call;
	struct sl_arena         arena; /* of all that the ledger reads */
	struct sl_buf           after;
};

static struct work *
new_work(struct admin_call *call)
{
	struct work *work = calloc(1, sizeof(*work));

	if (!work) {
		admin_answer_fault_text(call, SL_FAULT_UNAVAILABLE, "Out of memory.");
		return NULL;
	}
	work->call = call;
	sl_arena_init(&work->arena, 1024, BODY_MAX);
	sl_buf_init(&work->after, BODY_MAX);
	admin_call_ref(call);
	return work;
}

static void
drop(struct work *work)
{
	struct admin_call *call = work->call;

	sl_arena_release(&work->arena);
	sl_buf_release(&work->after);
	free(work);
	admin_call_unref(call);
}

/* --- what stands ------------------------------------------------------------------ */

static void
put_balance(struct admin_call *call, struct sl_slice workspace, struct sl_json_writer *w)
{
	const struct sl_admin_services *services = &call->admin->services;
	struct sl_tenant *tenant =
	    sl_tenants_find(services->tenants, SL_SCOPE_WORKSPACE, workspace);
	bool prepaid = tenant && sl_tenant_policy(tenant)->limits.money.prepaid;
	struct sl_money_standing standing;

	sl_money_standing(services->money, SL_SCOPE_WORKSPACE, workspace, NULL,
	                  sl_clock_wall_ms(), &standing);
	sl_tenant_unref(tenant);
	/* What is held of prepaid credit is no longer in what is available. */
	sl_json_usd(w, "balance_usd",
	            standing.available + (prepaid ? standing.held[SL_WINDOW_TOTAL] : 0));
	sl_json_usd(w, "held_usd", standing.held[SL_WINDOW_TOTAL]);
	sl_json_usd(w, "available_usd", standing.available);
}

static void
answer_balance(struct admin_call *call, int status, struct sl_slice workspace,
               int64_t redeemed_nanousd)
{
	struct sl_json_writer w;
	struct sl_buf body;

	sl_buf_init(&body, BODY_MAX);
	sl_json_writer_init(&w, &body);
	sl_json_obj(&w);
	if (redeemed_nanousd)
		sl_json_usd(&w, "amount_usd", redeemed_nanousd);
	put_balance(call, workspace, &w);
	sl_json_obj_end(&w);
	admin_answer_json(call, status, &body);
}

/* --- POST /admin/workspaces/:slug/credits --------------------------------------------- */

static void
credited(struct sl_money_credit *credit)
{
	struct work *work = SL_CONTAINER(credit, struct work, credit);
	struct admin_call *call = work->call;

	if (admin_call_alive(call) && (credit->err == SL_OK || credit->err == SL_EEXIST))
		answer_balance(call, credit->err == SL_OK ? 201 : 200, credit->workspace, 0);
	else if (admin_call_alive(call) && credit->err == SL_EDUPLICATE)
		admin_answer_fault_text(call, SL_FAULT_CONFLICT,
		                        "This external_id was applied before with another amount or "
		                        "to another workspace: nothing was changed. Is it another "
		                        "payment? Then it needs an id of its own.");
	else if (admin_call_alive(call) && credit->err == SL_ELIMIT)
		admin_answer_fault_text(call, SL_FAULT_CONFLICT,
		                        "The balance would fall below zero: nothing was changed.");
	else if (admin_call_alive(call))
		admin_answer_store(call, credit->err);
	drop(work);
}

static bool
read_credit(struct work *work, struct sl_json body)
{
	struct sl_money_credit *credit = &work->credit;
	struct sl_json note = sl_json_get(body, "note");
	struct sl_slice text = SL_SLICE_NONE;
	struct sl_json_writer w;

	if (!sl_json_nanousd(sl_json_get(body, "amount_usd"), &credit->amount) ||
	    credit->amount == 0)
		return admin_refuse(work->call, "amount_usd", "amount_usd must be an amount of US dollars "
		              "with at most nine decimal places; a negative one is a correction.");
	if (!sl_json_string(sl_json_get(body, "external_id"), &work->arena, &text) ||
	    text.len == 0 || text.len > EXTERNAL_ID_MAX)
		return admin_refuse(work->call, "external_id", "external_id must be a text of 1 to 128 bytes "
		              "that names the payment: it is applied only once.");
	credit->external_id = sl_arena_dup(&work->arena, text);
	text = SL_SLICE_NONE;
	if (note.type != SL_JSON_NONE && note.type != SL_JSON_NULL &&
	    (!sl_json_string(note, &work->arena, &text) || text.len > NOTE_MAX))
		return admin_refuse(work->call, "note", "note must be a text of at most 512 bytes.");
	sl_json_writer_init(&w, &work->after);
	sl_json_obj(&w);
	sl_json_usd(&w, "amount_usd", credit->amount);
	sl_json_str(&w, "external_id", credit->external_id);
	if (text.len)
		sl_json_str(&w, "note", text);
	sl_json_obj_end(&w);
	return credit->external_id.ptr && !work->after.failed;
}

static bool
workspace_exists(struct admin_call *call)
{
	struct sl_tenant *tenant = sl_tenants_find(call->admin->services.tenants,
	                                           SL_SCOPE_WORKSPACE, sl_slice_str(call->id));

	sl_tenant_unref(tenant);
	if (!tenant)
		admin_answer_fault_text(call, SL_FAULT_NOT_FOUND,
		                        "There is no workspace of this slug.");
	return tenant != NULL;
}

void
admin_workspaces_credit(struct admin_call *call)
{
	struct sl_json body;
	struct work *work;
	enum sl_err err;

	if (!admin_body(call, &body) || !workspace_exists(call) || !(work = new_work(call)))
		return;
	if (!read_credit(work, body)) {
		drop(work);
		return;
	}
	work->credit.kind = work->credit.amount < 0 ? SL_CREDIT_CORRECTION : SL_CREDIT_TOPUP;
	work->credit.workspace = sl_arena_dup(&work->arena, sl_slice_str(call->id));
	work->credit.now_wall_ms = sl_clock_wall_ms();
	work->credit.loop = call->admin->loop;
	work->credit.done = credited;
	work->credit.audit = &work->entry;
	work->entry = (struct sl_audit_entry){
		.actor = sl_arena_dup(&work->arena, admin_actor(call)),
		.action = SL_SLICE("workspace.credit"),
		.target = work->credit.workspace,
		.after_json = sl_buf_slice(&work->after),
	};
	err = sl_money_credit(call->admin->services.money, &work->credit);
	if (err == SL_OK)
		return;
	work->credit.err = err;
	credited(&work->credit);
}

/* --- vouchers -------------------------------------------------------------------------- */

static void
voucher_made(struct sl_money_voucher *voucher)
{
	struct work *work = SL_CONTAINER(voucher, struct work, voucher);
	struct admin_call *call = work->call;
	char text[SL_TIMESTAMP_LEN + 1];
	struct sl_json_writer w;
	struct sl_buf body;

	if (admin_call_alive(call) && voucher->err == SL_OK) {
		sl_buf_init(&body, BODY_MAX);
		sl_json_writer_init(&w, &body);
		sl_json_obj(&w);
		sl_json_str(&w, "code", voucher->code);
		sl_json_usd(&w, "amount_usd", voucher->amount);
		sl_json_key(&w, "expires_at");
		if (voucher->expires_wall_ms)
			sl_json_put_str(&w, sl_slice_make(text, sl_timestamp_format(
			                                            voucher->expires_wall_ms, text)));
		else
			sl_json_put_null(&w);
		sl_json_obj_end(&w);
		admin_answer_json(call, 201, &body);
	} else if (admin_call_alive(call)) {
		admin_answer_store(call, voucher->err);
	}
	drop(work);
}

static bool
read_voucher(struct work *work, struct sl_json body)
{
	struct sl_money_voucher *voucher = &work->voucher;
	struct sl_json expires = sl_json_get(body, "expires_at");
	struct sl_slice text = expires.raw;
	struct sl_json_writer w;

	if (!sl_json_nanousd(sl_json_get(body, "amount_usd"), &voucher->amount) ||
	    voucher->amount <= 0)
		return admin_refuse(work->call, "amount_usd", "amount_usd must be more than 0 US dollars with "
		              "at most nine decimal places.");
	if (expires.type == SL_JSON_STRING && !sl_json_string(expires, &work->arena, &text))
		return admin_refuse(work->call, "expires_at", "Out of memory.");
	if (expires.type != SL_JSON_NONE && expires.type != SL_JSON_NULL &&
	    (!sl_timestamp_parse(text, &voucher->expires_wall_ms) ||
	     voucher->expires_wall_ms <= sl_clock_wall_ms()))
		return admin_refuse(work->call, "expires_at", "expires_at must be a time in the future such as "
		              "\"2027-01-31T23:59:59Z\"; null means never.");
	sl_json_writer_init(&w, &work->after);
	sl_json_obj(&w);
	sl_json_usd(&w, "amount_usd", voucher->amount);
	sl_json_obj_end(&w);
	return !work->after.failed;
}

void
admin_vouchers_create(struct admin_call *call)
{
	unsigned char random[CODE_BYTES];
	char code[CODE_LEN];
	struct sl_json body;
	struct work *work;
	enum sl_err err;

	if (!admin_body(call, &body) || !(work = new_work(call)))
		return;
	if (!read_voucher(work, body)) {
		drop(work);
		return;
	}
	sl_rand_bytes(random, sizeof(random));
	memcpy(code, code_prefix, sizeof(code_prefix) - 1);
	sl_hex_encode(random, sizeof(random), code + sizeof(code_prefix) - 1);
	work->voucher.code = sl_arena_dup(&work->arena, sl_slice_make(code, sizeof(code)));
	work->voucher.now_wall_ms = sl_clock_wall_ms();
	work->voucher.loop = call->admin->loop;
	work->voucher.done = voucher_made;
	work->voucher.audit = &work->entry;
	work->entry = (struct sl_audit_entry){
		.actor = sl_arena_dup(&work->arena, admin_actor(call)),
		.action = SL_SLICE("voucher.create"),
		/* The code is money; its beginning tells which one it was. */
		.target = sl_slice_upto(work->voucher.code, sizeof(code_prefix) - 1 + 4),
		.after_json = sl_buf_slice(&work->after),
	};
	err = sl_money_voucher(call->admin->services.money, &work->voucher);
	if (err == SL_OK)
		return;
	work->voucher.err = err;
	voucher_made(&work->voucher);
}

static void
redeemed(struct sl_money_credit *credit)
{
	struct work *work = SL_CONTAINER(credit, struct work, credit);
	struct admin_call *call = work->call;

	if (!admin_call_alive(call))
		;
	else if (credit->err == SL_OK)
		answer_balance(call, 200, credit->workspace, credit->amount);
	else if (credit->err == SL_EEXIST)
		admin_answer_fault_text(call, SL_FAULT_CONFLICT, "This voucher was redeemed before.");
	else if (credit->err == SL_ETIMEDOUT)
		admin_answer_fault_text(call, SL_FAULT_CONFLICT, "This voucher has expired.");
	else if (credit->err == SL_ENOTFOUND || credit->err == SL_EINVAL)
		admin_answer_fault_text(call, SL_FAULT_NOT_FOUND, "There is no voucher of this code.");
	else
		admin_answer_store(call, credit->err);
	drop(work);
}

/* The workspace of the caller's key, on the exchange's arena. */
static struct sl_slice
callers_workspace(struct admin_call *call)
{
	struct sl_tenancy tenancy;
	struct sl_slice workspace;

	sl_tenancy_open(&tenancy, call->admin->services.tenants, call->key);
	workspace = sl_arena_dup(&call->exchange->arena, sl_tenancy_workspace(&tenancy));
	sl_tenancy_close(&tenancy);
	return workspace;
}

void
admin_vouchers_redeem(struct admin_call *call)
{
	struct sl_slice workspace = callers_workspace(call), code;
	struct sl_json body;
	struct work *work;
	enum sl_err err;

	if (!admin_body(call, &body))
		return;
	if (!sl_json_string(sl_json_get(body, "code"), &call->exchange->arena, &code) ||
	    code.len == 0) {
		admin_refuse(call, "code", "code must be the voucher's code.");
		return;
	}
	if (workspace.len == 0) {
		admin_refuse(call, "code", "This key belongs to no workspace, so there is no balance that the "
		                     "voucher could be added to.");
		return;
	}
	work = new_work(call);
	if (!work)
		return;
	work->credit = (struct sl_money_credit){
		.kind = SL_CREDIT_VOUCHER,
		.workspace = sl_arena_dup(&work->arena, workspace),
		.external_id = sl_arena_dup(&work->arena, code),
		.now_wall_ms = sl_clock_wall_ms(),
		.loop = call->admin->loop,
		.done = redeemed,
	};
	err = sl_money_credit(call->admin->services.money, &work->credit);
	if (err == SL_OK)
		return;
	work->credit.err = err;
	redeemed(&work->credit);
}

/* --- GET /v1/credits --------------------------------------------------------------------- */

static void
put_budget(struct sl_json_writer *w, const struct sl_money_limits *limits,
           const struct sl_money_standing *standing)
{
	static const char *const names[SL_WINDOW_COUNT] = {
#define WINDOW_NAME(id, name) name,
		SL_MONEY_WINDOWS(WINDOW_NAME)
#undef WINDOW_NAME
	};

	sl_json_obj(w);
	for (int i = 0; i < SL_WINDOW_COUNT; i++) {
		int64_t used = standing->spent[i] + standing->held[i];

		if (limits->window[i] < 0)
			continue;
		sl_json_key(w, names[i]);
		sl_json_obj(w);
		sl_json_usd(w, "limit_usd", limits->window[i]);
		sl_json_usd(w, "spend_usd", standing->spent[i]);
		sl_json_usd(w, "held_usd", standing->held[i]);
		sl_json_usd(w, "remaining_usd",
		            used < limits->window[i] ? limits->window[i] - used : 0);
		sl_json_obj_end(w);
	}
	sl_json_obj_end(w);
}

void
admin_credits_own(struct admin_call *call)
{
	const struct sl_key_policy *policy = sl_key_policy(call->key);
	struct sl_slice workspace = callers_workspace(call);
	struct sl_money_standing standing;
	struct sl_json_writer w;
	struct sl_buf body;

	sl_money_standing(call->admin->services.money, SL_SCOPE_KEY, sl_key_id(call->key),
	                  policy->limits.money.zone, sl_clock_wall_ms(), &standing);
	sl_buf_init(&body, BODY_MAX);
	sl_json_writer_init(&w, &body);
	sl_json_obj(&w);
	sl_json_str(&w, "key", sl_key_id(call->key));
	sl_json_key(&w, "workspace");
	if (workspace.len) {
		sl_json_put_str(&w, workspace);
		put_balance(call, workspace, &w);
	} else {
		sl_json_put_null(&w);
		sl_json_usd(&w, "balance_usd", 0);
		sl_json_usd(&w, "held_usd", standing.held[SL_WINDOW_TOTAL]);
		sl_json_usd(&w, "available_usd", 0);
	}
	sl_json_usd(&w, "spend_usd", standing.spent[SL_WINDOW_TOTAL]);
	sl_json_key(&w, "budget");
	put_budget(&w, &policy->limits.money, &standing);
	sl_json_obj_end(&w);
	admin_answer_json(call, 200, &body);
}
