/* config_diff.c - which options differ between two snapshots.
 *
 * Walks the option table, so an option cannot be forgotten. Names only: the
 * values may be secrets.
 */
#include "app/serve.h"

#include <stdio.h>

#include "app/options.h"
#include "base/json.h"

static bool section_equal(const struct sl_option_section *section, const char *a, const char *b);

static struct sl_slice
slice_at(const char *field)
{
	return *(const struct sl_slice *)(const void *)field;
}

static bool
strings_equal(const struct sl_config_strings *a, const struct sl_config_strings *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!sl_slice_eq(a->items[i], b->items[i]))
			return false;
	return true;
}

static bool
headers_equal(const struct sl_config_provider *a, const struct sl_config_provider *b)
{
	if (a->header_count != b->header_count)
		return false;
	for (size_t i = 0; i < a->header_count; i++)
		if (!sl_slice_eq(a->headers[i].name, b->headers[i].name) ||
		    !sl_slice_eq(a->headers[i].value, b->headers[i].value))
			return false;
	return true;
}

static bool
listen_equal(const struct sl_config *a, const struct sl_config *b)
{
	if (a->listen_count != b->listen_count)
		return false;
	for (size_t i = 0; i < a->listen_count; i++) {
		const struct sl_config_listen *x = &a->listen[i], *y = &b->listen[i];

		if (!sl_slice_eq(x->host, y->host) || x->port != y->port ||
		    !sl_slice_eq(x->tls_cert, y->tls_cert) || !sl_slice_eq(x->tls_key, y->tls_key))
			return false;
	}
	return true;
}

static bool
prices_equal(const struct sl_config *a, const struct sl_config *b)
{
	if (a->price_count != b->price_count)
		return false;
	for (size_t i = 0; i < a->price_count; i++)
		if (!sl_slice_eq(a->prices[i].provider, b->prices[i].provider) ||
		    !sl_slice_eq(a->prices[i].model, b->prices[i].model) ||
		    !sl_slice_eq(a->prices[i].fields, b->prices[i].fields))
			return false;
	return true;
}

static bool
elements_equal(const struct sl_option *option, const char *a, const char *b)
{
	const struct sl_option_section *section = option->section;
	size_t count = *(const size_t *)(const void *)(a + option->count_offset);
	const char *x = *(const char *const *)(const void *)(a + option->offset);
	const char *y = *(const char *const *)(const void *)(b + option->offset);

	if (count != *(const size_t *)(const void *)(b + option->count_offset))
		return false;
	for (size_t i = 0; i < count; i++, x += section->size, y += section->size) {
		if (option->type == SL_OPTION_MAP &&
		    !sl_slice_eq(slice_at(x + section->name_offset),
		                 slice_at(y + section->name_offset)))
			return false;
		if (!section_equal(section, x, y))
			return false;
	}
	return true;
}

/* a and b are the structs of the section that the option is in. */
static bool
option_equal(const struct sl_option *option, const char *a, const char *b)
{
	const char *x = a + option->offset, *y = b + option->offset;

	switch (option->type) {
	case SL_OPTION_BOOL:
		return *(const bool *)x == *(const bool *)y;
	case SL_OPTION_UINT:
	case SL_OPTION_INT:
	case SL_OPTION_USD:
	case SL_OPTION_NUMBER:
		return memcmp(x, y, sizeof(int64_t)) == 0;
	case SL_OPTION_TEXT:
	case SL_OPTION_CHOICE:
	case SL_OPTION_PATH:
	case SL_OPTION_URL:
		return sl_slice_eq(slice_at(x), slice_at(y));
	case SL_OPTION_SECRET:
		return sl_secret_eq((const void *)x, sl_secret_reveal((const void *)y));
	case SL_OPTION_AUTH:
		return memcmp(x, y, sizeof(enum sl_auth_mode)) == 0 &&
		       sl_slice_eq(slice_at(a + option->count_offset),
		                   slice_at(b + option->count_offset));
	case SL_OPTION_STRINGS:
		return strings_equal((const void *)x, (const void *)y);
	case SL_OPTION_LISTEN:
		return listen_equal((const void *)a, (const void *)b);
	case SL_OPTION_HEADERS:
		return headers_equal((const void *)a, (const void *)b);
	case SL_OPTION_PRICES:
		return prices_equal((const void *)a, (const void *)b);
	case SL_OPTION_SECTION:
		return section_equal(option->section, x, y);
	case SL_OPTION_LIST:
	case SL_OPTION_MAP:
		return elements_equal(option, a, b);
	}
	return false;
}

static bool
section_equal(const struct sl_option_section *section, const char *a, const char *b)
{
	for (size_t i = 0; i < section->count; i++)
		if (!option_equal(&section->options[i], a, b))
			return false;
	return true;
}

static void
name_changes(const struct sl_option_section *section, const char *a, const char *b,
             const char *path, bool reloadable, struct sl_json_writer *out)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct sl_option *option = &section->options[i];
		char name[128];

		if (option_equal(option, a, b))
			continue;
		snprintf(name, sizeof(name), "%s%s", path, option->key);
		if (option->type == SL_OPTION_SECTION) {
			size_t length = strlen(name);

			snprintf(name + length, sizeof(name) - length, ".");
			name_changes(option->section, a + option->offset, b + option->offset, name,
			             reloadable, out);
		} else if (option->reloadable == reloadable) {
			sl_json_put_str(out, sl_slice_str(name));
		}
	}
}

void
sl_config_diff(const struct sl_config *before, const struct sl_config *after,
               struct sl_json_writer *out)
{
	const struct sl_option_section *root = sl_options_root();

	sl_json_obj(out);
	sl_json_key(out, "changed");
	sl_json_arr(out);
	name_changes(root, (const char *)before, (const char *)after, "", true, out);
	sl_json_arr_end(out);
	sl_json_key(out, "restart_needed");
	sl_json_arr(out);
	name_changes(root, (const char *)before, (const char *)after, "", false, out);
	sl_json_arr_end(out);
	sl_json_obj_end(out);
}
