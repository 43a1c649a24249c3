/* key_policy.c - the table of what a key, a team and a workspace have.
 *
 * Parser, display and suggestions read one table; a row names its levels.
 */
#include "ledger/key_policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/timestamp.h"
#include "ledger/digest.h"

enum {
	TEXT_MAX = 128,          /* bytes of a name */
	SLUG_MAX = 64,
	NAMES_MAX = 256,         /* entries of a list */
	LIST_NAME_MAX = 256,     /* bytes of one */
	METADATA_MAX = 4096,     /* bytes of JSON */
	RATE_MAX = 1000000000,
	CONCURRENCY_MAX = 1000000,
	SUGGESTION_DISTANCE = 2, /* edits */
	MEMBER_NAME_MAX = 64,    /* bytes of a name worth comparing */
};

enum kind { TEXT, SLUG, SURFACE, ALLOWED, BLOCKED, COUNT, USD, AMOUNT, ALERTS, ZONE, MOMENT,
	    DISCONNECT, FLAG, ENABLED, METADATA };

/* Levels. */
enum { K = 1 << SL_SCOPE_KEY, T = 1 << SL_SCOPE_TEAM, W = 1 << SL_SCOPE_WORKSPACE };


static const struct member {
	const char *name;
	unsigned    levels;
	enum kind   kind;
	size_t      offset;
	int64_t     max;
} members[] = {
#define AT(field) offsetof(struct sl_key_policy, field)
#define BUDGET(name, field) { name, K | T | W, USD, AT(field), 0 }
	{ "slug", T | W, SLUG, AT(slug), 0 },
	{ "name", K | T | W, TEXT, AT(name), 0 },
	{ "surface", K, SURFACE, AT(surface), 0 },
	{ "team", K, TEXT, AT(team), 0 },
	{ "workspace", K | T, TEXT, AT(workspace), 0 },
	{ "stack", K | W, TEXT, AT(stack), 0 },
	{ "user", K, TEXT, AT(user), 0 },
	{ "models", K | T | W, ALLOWED, AT(models), 0 },
	{ "blocked_models", K | T | W, BLOCKED, AT(blocked_models), 0 },
	{ "providers", K | T | W, ALLOWED, AT(providers), 0 },
	{ "blocked_providers", K | T | W, BLOCKED, AT(blocked_providers), 0 },
	{ "rpm", K | T | W, COUNT, AT(limits.rpm), RATE_MAX },
	{ "tpm", K | T | W, COUNT, AT(limits.tpm), RATE_MAX },
	{ "concurrency", K | T | W, COUNT, AT(limits.concurrency), CONCURRENCY_MAX },
	BUDGET("request_budget_usd", limits.money.per_request),
	BUDGET("daily_budget_usd", limits.money.window[SL_WINDOW_DAY]),
	BUDGET("weekly_budget_usd", limits.money.window[SL_WINDOW_WEEK]),
	BUDGET("monthly_budget_usd", limits.money.window[SL_WINDOW_MONTH]),
	BUDGET("total_budget_usd", limits.money.window[SL_WINDOW_TOTAL]),
	{ "alert_percents", K | T | W, ALERTS, AT(alerts), 0 },
	{ "time_zone", K | T | W, ZONE, AT(zone), 0 },
	{ "prepaid", W, FLAG, AT(limits.money.prepaid), 0 },
	{ "minimum_balance_usd", W, AMOUNT, AT(limits.money.minimum_balance), 0 },
	{ "end_user_rpm", K | T | W, COUNT, AT(end_user.rpm), RATE_MAX },
	{ "end_user_tpm", K | T | W, COUNT, AT(end_user.tpm), RATE_MAX },
	{ "end_user_concurrency", K | T | W, COUNT, AT(end_user.concurrency), CONCURRENCY_MAX },
	BUDGET("end_user_daily_budget_usd", end_user.money.window[SL_WINDOW_DAY]),
	BUDGET("end_user_monthly_budget_usd", end_user.money.window[SL_WINDOW_MONTH]),
	{ "expires_at", K | T | W, MOMENT, AT(expires_wall_ms), 0 },
	{ "on_disconnect", K, DISCONNECT, AT(cancel_on_disconnect), 0 },
	{ "strict", K, FLAG, AT(strict), 0 },
	{ "enabled", K | T | W, ENABLED, AT(disabled), 0 },
	{ "metadata", K | T | W, METADATA, AT(metadata_json), 0 },
#undef BUDGET
#undef AT
};
enum { MEMBER_COUNT = sizeof(members) / sizeof(members[0]) };

static bool
has_member(const struct sl_key_policy *policy, const struct member *member)
{
	return member->levels >> policy->level & 1;
}

/* Names that other gateways' admin clients send. */
static const struct {
	const char *alias;
	const char *name;
} aliases[] = {
	{ "team_id", "team" },       { "user_id", "user" },
	{ "rpm_limit", "rpm" },      { "tpm_limit", "tpm" },
	{ "max_budget", "total_budget_usd" },
	{ "is_active", "enabled" },  { "max_parallel_requests", "concurrency" },
	{ "allowed_models", "models" }, { "allowed_providers", "providers" },
};
enum { ALIAS_COUNT = sizeof(aliases) / sizeof(aliases[0]) };

/* Shown with a key, decided by Sluice. */
static const char *const read_only[] = {
	"id", "key", "hint", "created_at", "spend_usd", "held_usd", "total_spend",
	"balance_usd", "available_usd",
};
enum { READ_ONLY_COUNT = sizeof(read_only) / sizeof(read_only[0]) };

/* One apply call. */
struct job {
	struct sl_key_policy *policy;
	enum sl_policy_source source;
	int64_t               now_wall_ms;
	struct sl_arena      *keep, *scratch;
	struct sl_fault      *fault;
};

void
sl_key_policy_init(struct sl_key_policy *policy, enum sl_scope_kind level)
{
	*policy = (struct sl_key_policy){
		.level = level,
		.surface = SL_SLICE("gateway"),
		.limits = sl_limits_none,
		.end_user = sl_limits_none,
	};
}

/* --- refusing ---------------------------------------------------------------- */

__attribute__((format(printf, 5, 6))) static bool
refuse(struct job *job, enum sl_fault_kind kind, const char *code, struct sl_slice param,
       const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	sl_fault_set(job->fault, kind, sl_arena_dup(job->scratch, sl_slice_str(text)));
	job->fault->code = sl_slice_str(code);
	job->fault->param = sl_arena_dup(job->scratch, param);
	return false;
}

static bool
wrong_type(struct job *job, const struct member *member, struct sl_json value,
           const char *wanted)
{
	return refuse(job, SL_FAULT_BAD_TYPE, "invalid_type", sl_slice_str(member->name),
	              "%s must be %s, not %s.", member->name, wanted,
	              sl_json_type_name(value.type));
}

static bool
wrong_value(struct job *job, const struct member *member, const char *must)
{
	return refuse(job, SL_FAULT_BAD_REQUEST, "invalid_value", sl_slice_str(member->name),
	              "%s must be %s.", member->name, must);
}

static bool
no_memory(struct job *job)
{
	sl_fault_set(job->fault, SL_FAULT_UNAVAILABLE, SL_SLICE("Out of memory."));
	return false;
}

/* Levenshtein distance of two short names, SIZE_MAX for long ones. */
static size_t
distance(struct sl_slice a, const char *b)
{
	size_t row[MEMBER_NAME_MAX + 1], b_len = strlen(b);

	if (a.len > MEMBER_NAME_MAX || b_len > MEMBER_NAME_MAX)
		return SIZE_MAX;
	for (size_t k = 0; k <= b_len; k++)
		row[k] = k;
	for (size_t i = 1; i <= a.len; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t k = 1; k <= b_len; k++) {
			size_t best = diagonal + (a.ptr[i - 1] != b[k - 1]);

			diagonal = row[k];
			if (row[k] + 1 < best)
				best = row[k] + 1;
			if (row[k - 1] + 1 < best)
				best = row[k - 1] + 1;
			row[k] = best;
		}
	}
	return row[b_len];
}

static bool
refuse_unknown(struct job *job, struct sl_slice name)
{
	struct sl_slice shown = sl_slice_upto(name, MEMBER_NAME_MAX);
	const char *nearest = NULL;
	size_t best = SUGGESTION_DISTANCE + 1;
	char all[640];
	int len = 0;

	for (size_t i = 0; i < READ_ONLY_COUNT; i++)
		if (sl_slice_is(name, read_only[i]))
			return refuse(job, SL_FAULT_BAD_REQUEST, "read_only", name,
			              "%s is decided by the gateway: leave it out.",
			              read_only[i]);
	for (size_t i = 0; i < MEMBER_COUNT; i++) {
		size_t d = distance(name, members[i].name);

		if (!has_member(job->policy, &members[i]))
			continue;
		len += snprintf(all + len, sizeof(all) - (size_t)len, "%s%s", len ? ", " : "",
		                members[i].name);
		if (d < best && d < strlen(members[i].name)) {
			best = d;
			nearest = members[i].name;
		}
	}
	if (nearest)
		return refuse(job, SL_FAULT_BAD_REQUEST, "unknown_field", shown,
		              "Unknown field \"%.*s\". Did you mean \"%s\"?", SL_ARG(shown),
		              nearest);
	return refuse(job, SL_FAULT_BAD_REQUEST, "unknown_field", shown,
	              "Unknown field \"%.*s\". A %s has: %s.", SL_ARG(shown),
	              sl_scope_kind_name(job->policy->level), all);
}

/* --- reading one member ------------------------------------------------------- */

static void *
field_of(struct sl_key_policy *policy, const struct member *member)
{
	return (char *)policy + member->offset;
}

static bool
printable(struct sl_slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
			return false;
	return true;
}

static bool
read_text(struct job *job, const struct member *member, struct sl_json value)
{
	struct sl_slice *field = field_of(job->policy, member), text;

	if (value.type != SL_JSON_STRING)
		return wrong_type(job, member, value, "a string");
	if (!sl_json_string(value, job->scratch, &text))
		return no_memory(job);
	if (text.len > TEXT_MAX || !printable(text))
		return wrong_value(job, member, "at most 128 bytes without control characters");
	*field = sl_arena_dup(job->keep, text);
	return field->ptr || no_memory(job);
}

static const char surface_names[] =
#define SL_SURFACE(id, prefix)        #id ", "
#define SL_NATIVE_SURFACE(id, prefix) "or " #id
#include "model/surfaces.def"
    ;

static bool
read_surface(struct job *job, const struct member *member, struct sl_json value)
{
	struct sl_slice before = job->policy->surface;

	if (!read_text(job, member, value))
		return false;
	if (!sl_secret_prefix(job->policy->surface))
		return wrong_value(job, member, surface_names);
	if (job->source == SL_POLICY_PATCH && !sl_slice_eq(before, job->policy->surface))
		return refuse(job, SL_FAULT_BAD_REQUEST, "read_only", SL_SLICE("surface"),
		              "surface is part of the secret and fixed: create another key.");
	return true;
}

/* The name by which keys and paths mean it: fixed, because records and accounts do. */
static bool
read_slug(struct job *job, const struct member *member, struct sl_json value)
{
	struct sl_slice before = job->policy->slug;

	if (!read_text(job, member, value))
		return false;
	if (job->policy->slug.len == 0 || job->policy->slug.len > SLUG_MAX ||
	    sl_slice_find(job->policy->slug, '/') >= 0)
		return wrong_value(job, member, "1 to 64 bytes without a slash");
	if (job->source == SL_POLICY_PATCH && !sl_slice_eq(before, job->policy->slug))
		return refuse(job, SL_FAULT_BAD_REQUEST, "read_only", SL_SLICE("slug"),
		              "slug is what keys and records refer to and fixed: create another.");
	return true;
}

static bool
read_name(struct job *job, const struct member *member, struct sl_json value,
          struct sl_slice *out)
{
	struct sl_slice text;
	ptrdiff_t star;

	if (value.type != SL_JSON_STRING)
		return wrong_type(job, member, value, "a list of strings; an element is no string but");
	if (!sl_json_string(value, job->scratch, &text))
		return no_memory(job);
	star = sl_slice_find(text, '*');
	if (text.len == 0 || text.len > LIST_NAME_MAX || !printable(text) ||
	    (star >= 0 && (size_t)star != text.len - 1))
		return wrong_value(job, member, "a list of names of 1 to 256 bytes; a * may only "
		                                "stand at the end of one");
	*out = sl_arena_dup(job->keep, text);
	return out->ptr || no_memory(job);
}

static bool
read_list(struct job *job, const struct member *member, struct sl_json value)
{
	struct sl_name_list *field = field_of(job->policy, member);
	struct sl_json_iter it = sl_json_iter(value);
	bool allowed = member->kind == ALLOWED;
	size_t count = 0, i = 0;

	if (value.type != SL_JSON_ARRAY)
		return wrong_type(job, member, value, "a list of names");
	while (sl_json_next(&it))
		count++;
	/* Of what is allowed, an empty list means all to some, to others none. */
	if ((allowed && count == 0) || count > NAMES_MAX)
		return wrong_value(job, member, allowed ? "a list of 1 to 256 names; [\"*\"] or null "
		                                          "allows all of them"
		                                        : "a list of at most 256 names");
	*field = (struct sl_name_list){ 0 };
	if (count == 0)
		return true;
	field->items = SL_ARENA_ARRAY(job->keep, struct sl_slice, count);
	if (!field->items)
		return no_memory(job);
	for (it = sl_json_iter(value); sl_json_next(&it); i++) {
		if (!read_name(job, member, it.value, &field->items[i]))
			return false;
		if (allowed && sl_slice_is(field->items[i], "*"))
			count = 0;
	}
	field->count = count;
	return true;
}

static bool
read_count(struct job *job, const struct member *member, struct sl_json value)
{
	int64_t *field = field_of(job->policy, member), count;
	char must[96];

	if (value.type != SL_JSON_NUMBER)
		return wrong_type(job, member, value, "a whole number");
	if (!sl_json_i64(value, &count) || count < 1 || count > member->max) {
		snprintf(must, sizeof(must), "a whole number from 1 to %lld; 0 or null means no limit",
		         (long long)member->max);
		return wrong_value(job, member, must);
	}
	*field = count;
	return true;
}

static bool
read_usd(struct job *job, const struct member *member, struct sl_json value)
{
	int64_t *field = field_of(job->policy, member), nanousd;

	if (value.type != SL_JSON_NUMBER)
		return wrong_type(job, member, value, "a number of US dollars");
	if (!sl_json_nanousd(value, &nanousd) || nanousd < 0)
		return wrong_value(job, member, "0 or more US dollars with at most nine decimal "
		                                "places; null means no budget");
	*field = nanousd;
	return true;
}

static bool
read_alerts(struct job *job, const struct member *member, struct sl_json value)
{
	struct sl_json_iter it = sl_json_iter(value);
	struct sl_key_policy *policy = job->policy;
	int64_t percent;

	if (value.type != SL_JSON_ARRAY)
		return wrong_type(job, member, value, "a list of percentages");
	policy->alerts.set = true;
	policy->alerts.count = 0;
	while (sl_json_next(&it)) {
		if (policy->alerts.count == sizeof(policy->alerts.percent) ||
		    !sl_json_i64(it.value, &percent) || percent < 1 || percent > 100)
			return wrong_value(job, member, "a list of at most 8 whole numbers from 1 to "
			                                "100; [] alerts nobody, null at 80 and 100");
		policy->alerts.percent[policy->alerts.count++] = (uint8_t)percent;
	}
	return true;
}

/* Both kinds of limits go by one calendar. */
static bool
read_zone(struct job *job, const struct member *member, struct sl_json value)
{
	const struct sl_zone *zone = NULL;

	if (!read_text(job, member, value))
		return false;
	if (job->policy->zone.len && sl_zone_shared(job->policy->zone, &zone) != SL_OK)
		return wrong_value(job, member, "a time zone of this system, such as "
		                                "\"Europe/Berlin\", or an offset such as \"+02:00\"");
	job->policy->limits.money.zone = job->policy->end_user.money.zone = zone;
	return true;
}

static bool
read_moment(struct job *job, const struct member *member, struct sl_json value)
{
	int64_t *field = field_of(job->policy, member), wall_ms;
	struct sl_slice text = value.raw;

	if (value.type != SL_JSON_STRING && value.type != SL_JSON_NUMBER)
		return wrong_type(job, member, value, "a time");
	if (value.type == SL_JSON_STRING && !sl_json_string(value, job->scratch, &text))
		return no_memory(job);
	if (!sl_timestamp_parse(text, &wall_ms) || wall_ms == 0)
		return wrong_value(job, member, "a time such as \"2027-01-31T23:59:59Z\" or seconds "
		                                "since 1970; null means never");
	if (job->source == SL_POLICY_CREATE && wall_ms <= job->now_wall_ms)
		return wrong_value(job, member, "in the future");
	*field = wall_ms;
	return true;
}

static bool
read_disconnect(struct job *job, const struct member *member, struct sl_json value)
{
	if (value.type != SL_JSON_STRING)
		return wrong_type(job, member, value, "a string");
	job->policy->cancel_on_disconnect = sl_json_is(value, "cancel");
	if (!job->policy->cancel_on_disconnect && !sl_json_is(value, "drain"))
		return wrong_value(job, member, "\"drain\" (read the answer to its end) or "
		                                "\"cancel\"");
	return true;
}

static bool
read_flag(struct job *job, const struct member *member, struct sl_json value)
{
	bool *field = field_of(job->policy, member);

	if (value.type != SL_JSON_TRUE && value.type != SL_JSON_FALSE)
		return wrong_type(job, member, value, "true or false");
	*field = sl_json_true(value) == (member->kind == FLAG);
	return true;
}

static bool
read_metadata(struct job *job, const struct member *member, struct sl_json value)
{
	if (value.type != SL_JSON_OBJECT)
		return wrong_type(job, member, value, "an object");
	if (value.raw.len > METADATA_MAX)
		return wrong_value(job, member, "at most 4096 bytes of JSON");
	job->policy->metadata_json = sl_arena_dup(job->keep, value.raw);
	return job->policy->metadata_json.ptr || no_memory(job);
}

static bool
read_default(struct job *job, const struct member *member)
{
	struct sl_key_policy defaults;

	if (member->kind == SURFACE && job->source == SL_POLICY_PATCH)
		return wrong_value(job, member, "left out: it is part of the secret");
	sl_key_policy_init(&defaults, job->policy->level);
	switch (member->kind) {
	case TEXT: case SURFACE: case METADATA:
		*(struct sl_slice *)field_of(job->policy, member) =
		    *(struct sl_slice *)field_of(&defaults, member);
		break;
	case SLUG:
		return wrong_value(job, member, "left out or 1 to 64 bytes");
	case ALERTS:
		job->policy->alerts.set = false;
		break;
	case ZONE:
		job->policy->zone = SL_SLICE_NONE;
		job->policy->limits.money.zone = job->policy->end_user.money.zone = NULL;
		break;
	case ALLOWED: case BLOCKED:
		*(struct sl_name_list *)field_of(job->policy, member) = (struct sl_name_list){ 0 };
		break;
	case COUNT: case USD: case AMOUNT: case MOMENT:
		*(int64_t *)field_of(job->policy, member) = *(int64_t *)field_of(&defaults, member);
		break;
	case DISCONNECT: case FLAG: case ENABLED:
		*(bool *)field_of(job->policy, member) = false;
		break;
	}
	return true;
}

static bool
is_zero(struct sl_json value)
{
	int64_t count;

	return sl_json_i64(value, &count) && count == 0;
}

static bool
read_member(struct job *job, const struct member *member, struct sl_json value)
{
	if (value.type == SL_JSON_NULL || (member->kind == COUNT && is_zero(value)))
		return read_default(job, member);
	switch (member->kind) {
	case TEXT:       return read_text(job, member, value);
	case SLUG:       return read_slug(job, member, value);
	case SURFACE:    return read_surface(job, member, value);
	case ALLOWED:    return read_list(job, member, value);
	case BLOCKED:    return read_list(job, member, value);
	case COUNT:      return read_count(job, member, value);
	case USD:        return read_usd(job, member, value);
	case AMOUNT:     return read_usd(job, member, value);
	case ALERTS:     return read_alerts(job, member, value);
	case ZONE:       return read_zone(job, member, value);
	case MOMENT:     return read_moment(job, member, value);
	case DISCONNECT: return read_disconnect(job, member, value);
	case FLAG:       return read_flag(job, member, value);
	case ENABLED:    return read_flag(job, member, value);
	case METADATA:   return read_metadata(job, member, value);
	}
	return false;
}

static const struct member *
find_member(const struct sl_key_policy *policy, struct sl_slice name)
{
	for (size_t i = 0; i < ALIAS_COUNT; i++)
		if (sl_slice_is(name, aliases[i].alias))
			name = sl_slice_str(aliases[i].name);
	for (size_t i = 0; i < MEMBER_COUNT; i++)
		if (has_member(policy, &members[i]) && sl_slice_is(name, members[i].name))
			return &members[i];
	return NULL;
}

bool
sl_key_policy_apply(struct sl_key_policy *policy, struct sl_json body,
                    enum sl_policy_source source, int64_t now_wall_ms, struct sl_arena *keep,
                    struct sl_arena *scratch, struct sl_fault *fault)
{
	struct job job = { policy, source, now_wall_ms, keep, scratch, fault };
	struct sl_json_iter it = sl_json_iter(body);
	uint64_t seen = 0;

	_Static_assert(MEMBER_COUNT <= 64, "one bit of seen per member");
	if (body.type != SL_JSON_OBJECT)
		return refuse(&job, SL_FAULT_BAD_TYPE, "invalid_type", SL_SLICE_NONE,
		              "The body must be a JSON object, not %s.",
		              sl_json_type_name(body.type));
	while (sl_json_next(&it)) {
		const struct member *member;
		struct sl_slice name;
		uint64_t bit;

		if (!sl_json_unescape(it.key, scratch, &name))
			return no_memory(&job);
		member = find_member(policy, name);
		if (!member && source == SL_POLICY_STORED)
			continue;
		if (!member)
			return refuse_unknown(&job, name);
		bit = (uint64_t)1 << (member - members);
		if (seen & bit)
			return refuse(&job, SL_FAULT_BAD_REQUEST, "duplicate_field",
			              sl_slice_str(member->name), "%s is given twice.",
			              member->name);
		seen |= bit;
		if (!read_member(&job, member, it.value))
			return false;
	}
	return true;
}

/* --- showing ------------------------------------------------------------------ */

static void
show_list(const struct sl_name_list *list, bool allowed, struct sl_json_writer *out)
{
	sl_json_arr(out);
	for (size_t i = 0; i < list->count; i++)
		sl_json_put_str(out, list->items[i]);
	if (allowed && list->count == 0)
		sl_json_put_str(out, SL_SLICE("*"));
	sl_json_arr_end(out);
}

static void
show_moment(int64_t wall_ms, struct sl_json_writer *out)
{
	char text[SL_TIMESTAMP_LEN + 1];

	if (wall_ms == 0)
		sl_json_put_null(out);
	else
		sl_json_put_str(out, sl_slice_make(text, sl_timestamp_format(wall_ms, text)));
}

static void
show_alerts(const struct sl_key_policy *policy, struct sl_json_writer *out)
{
	if (!policy->alerts.set) {
		sl_json_put_null(out);
		return;
	}
	sl_json_arr(out);
	for (size_t i = 0; i < policy->alerts.count; i++)
		sl_json_put_i64(out, policy->alerts.percent[i]);
	sl_json_arr_end(out);
}

static void
show_member(const struct sl_key_policy *policy, const struct member *member,
            struct sl_json_writer *out)
{
	const void *field = (const char *)policy + member->offset;
	const struct sl_slice *text = field;
	const int64_t *number = field;
	const bool *flag = field;

	switch (member->kind) {
	case TEXT:
	case SLUG:
	case SURFACE:
	case ZONE:
		if (text->len)
			sl_json_put_str(out, *text);
		else
			sl_json_put_null(out);
		break;
	case ALLOWED:
	case BLOCKED:
		show_list(field, member->kind == ALLOWED, out);
		break;
	case COUNT:
		if (*number)
			sl_json_put_i64(out, *number);
		else
			sl_json_put_null(out);
		break;
	case USD:
		if (*number >= 0)
			sl_json_put_nanousd(out, *number);
		else
			sl_json_put_null(out);
		break;
	case AMOUNT:
		sl_json_put_nanousd(out, *number);
		break;
	case ALERTS:
		show_alerts(policy, out);
		break;
	case MOMENT:
		show_moment(*number, out);
		break;
	case DISCONNECT:
		sl_json_put_str(out, *flag ? SL_SLICE("cancel") : SL_SLICE("drain"));
		break;
	case FLAG:
	case ENABLED:
		sl_json_put_bool(out, *flag == (member->kind == FLAG));
		break;
	case METADATA:
		sl_json_put_raw(out, text->len ? *text : SL_SLICE("{}"));
		break;
	}
}

void
sl_key_policy_show(const struct sl_key_policy *policy, struct sl_json_writer *out)
{
	for (size_t i = 0; i < MEMBER_COUNT; i++) {
		if (!has_member(policy, &members[i]))
			continue;
		sl_json_key(out, members[i].name);
		show_member(policy, &members[i], out);
	}
}

/* --- describing ---------------------------------------------------------------- */

#define NAMES "{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"maxItems\":256}"
/* null in a body restores the default; of what is shown only some can be null. */
static const struct {
	const char *schema;
	bool        shown_null;
} schemas[] = {
	[TEXT] = { "{\"type\":\"string\",\"maxLength\":128}", true },
	[SLUG] = { "{\"type\":\"string\",\"minLength\":1,\"maxLength\":64}", false },
	[SURFACE] = { "{\"type\":\"string\",\"enum\":["
#define SL_SURFACE(id, prefix)        "\"" #id "\","
#define SL_NATIVE_SURFACE(id, prefix) "\"" #id "\""
#include "model/surfaces.def"
	              "]}", false },
	[ALLOWED] = { NAMES, false },
	[BLOCKED] = { NAMES, false },
	[COUNT] = { "{\"type\":\"integer\",\"minimum\":0}", true },
	[USD] = { "{\"type\":\"number\",\"minimum\":0}", true },
	[AMOUNT] = { "{\"type\":\"number\"}", false },
	[ALERTS] = { "{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":1,"
	             "\"maximum\":100},\"maxItems\":8}", true },
	[ZONE] = { "{\"type\":\"string\",\"maxLength\":128}", true },
	[MOMENT] = { "{\"type\":[\"string\",\"integer\"]}", true },
	[DISCONNECT] = { "{\"type\":\"string\",\"enum\":[\"drain\",\"cancel\"]}", false },
	[FLAG] = { "{\"type\":\"boolean\"}", false },
	[ENABLED] = { "{\"type\":\"boolean\"}", false },
	[METADATA] = { "{\"type\":\"object\"}", false },
};
#undef NAMES

static void
put_schema(const struct member *member, bool shown, struct sl_json_writer *out)
{
	const char *schema = shown && member->kind == MOMENT
	                         ? "{\"type\":\"string\",\"format\":\"date-time\"}"
	                         : schemas[member->kind].schema;

	if (shown && !schemas[member->kind].shown_null) {
		sl_json_put_raw(out, sl_slice_str(schema));
		return;
	}
	sl_json_obj(out);
	sl_json_key(out, "anyOf");
	sl_json_arr(out);
	sl_json_put_raw(out, sl_slice_str(schema));
	sl_json_put_raw(out, SL_SLICE("{\"type\":\"null\"}"));
	sl_json_arr_end(out);
	sl_json_obj_end(out);
}

void
sl_key_policy_schema(enum sl_scope_kind level, bool shown, struct sl_json_writer *out)
{
	const struct sl_key_policy any = { .level = level };

	for (size_t i = 0; i < MEMBER_COUNT; i++) {
		if (!has_member(&any, &members[i]))
			continue;
		sl_json_key(out, members[i].name);
		put_schema(&members[i], shown, out);
	}
	for (size_t i = 0; i < ALIAS_COUNT && !shown; i++) {
		const struct member *member = find_member(&any, sl_slice_str(aliases[i].alias));

		if (!member)
			continue;
		sl_json_key(out, aliases[i].alias);
		put_schema(member, false, out);
	}
}

void
sl_key_policy_names(enum sl_scope_kind level, struct sl_json_writer *out)
{
	const struct sl_key_policy any = { .level = level };

	for (size_t i = 0; i < MEMBER_COUNT; i++)
		if (has_member(&any, &members[i]))
			sl_json_put_str(out, sl_slice_str(members[i].name));
}

/* --- the lists ------------------------------------------------------------------ */

static bool
fits(struct sl_slice pattern, struct sl_slice name)
{
	return pattern.ptr[pattern.len - 1] == '*'
	           ? sl_slice_starts(name, sl_slice_upto(pattern, pattern.len - 1))
	           : sl_slice_eq(name, pattern);
}

/* Whether the pattern means "provider/model". */
static bool
fits_target(struct sl_slice pattern, struct sl_slice provider, struct sl_slice model)
{
	size_t size = provider.len + 1 + model.len, len = pattern.len;

	if (pattern.ptr[len - 1] == '*' ? --len > size : len != size)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = i < provider.len    ? provider.ptr[i]
		         : i == provider.len ? '/'
		                             : model.ptr[i - provider.len - 1];

		if (pattern.ptr[i] != c)
			return false;
	}
	return true;
}

bool
sl_key_policy_blocks(const struct sl_key_policy *policy, struct sl_slice name)
{
	for (size_t i = 0; i < policy->blocked_models.count; i++)
		if (fits(policy->blocked_models.items[i], name))
			return true;
	return false;
}

bool
sl_key_policy_allows(const struct sl_key_policy *policy, struct sl_slice requested,
                     struct sl_slice provider, struct sl_slice model)
{
	const struct sl_name_list *models = &policy->models, *blocked = &policy->blocked_models;
	bool allowed = models->count == 0, target = provider.len > 0;

	for (size_t i = 0; i < models->count && !allowed; i++)
		allowed = fits(models->items[i], requested) ||
		          (target && fits_target(models->items[i], provider, model));
	for (size_t i = 0; i < blocked->count && allowed; i++)
		allowed = !fits(blocked->items[i], requested) &&
		          !(target && (fits_target(blocked->items[i], provider, model) ||
		                       fits(blocked->items[i], model)));
	if (!allowed || !target)
		return allowed;
	allowed = policy->providers.count == 0;
	for (size_t i = 0; i < policy->providers.count && !allowed; i++)
		allowed = fits(policy->providers.items[i], provider);
	for (size_t i = 0; i < policy->blocked_providers.count && allowed; i++)
		allowed = !fits(policy->blocked_providers.items[i], provider);
	return allowed;
}
