/* options.c - the option table, and the two texts printed from it. */
#include "app/options.h"

#include <stdio.h>
#include <string.h>

#include "base/slice.h"
#include "model/config.h"

enum { RESTART = 0, LIVE = 1, REQUIRED = 2 };

#define NO_NAME SIZE_MAX
#define FLAGS(flags)                                                                              \
	.required = ((flags) & REQUIRED) != 0, .reloadable = ((flags) & LIVE) != 0

#define SECTION(id) static const struct sl_option options_##id[] = {
#define OPTION(kind, owner, member, name, low, high, preset, words, flags, text)                  \
	{ .key = (name), .type = SL_OPTION_##kind, .offset = offsetof(owner, member),             \
	  .min = (low), .max = (high), .fallback = (preset), .choices = (words), FLAGS(flags),    \
	  .help = (text) },
#define PLURAL(kind, owner, member, count_member, name, inner, flags, text)                       \
	{ .key = (name), .type = SL_OPTION_##kind, .offset = offsetof(owner, member),             \
	  .count_offset = offsetof(owner, count_member), .section = (inner), FLAGS(flags),        \
	  .help = (text) },
#define NESTED(owner, at, name, inner, flags, text)                                               \
	{ .key = (name), .type = SL_OPTION_SECTION, .offset = (at), .section = (inner),           \
	  FLAGS(flags), .help = (text) },
#define END(id, owner, name_at, yaml)                                                             \
	};                                                                                        \
	static const struct sl_option_section section_##id = {                                    \
		.name = #id,                                                                      \
		.size = sizeof(owner),                                                            \
		.name_offset = (name_at),                                                         \
		.options = options_##id,                                                          \
		.count = sizeof(options_##id) / sizeof(options_##id[0]),                          \
		.example = (yaml),                                                                \
	};
#include "app/options.def"

const struct sl_option_section *
sl_options_root(void)
{
	return &section_root;
}

const char *
sl_option_type_title(enum sl_option_type type)
{
	static const char *const titles[] = {
#define TITLE(id, title, wanted) title,
		SL_OPTION_TYPES(TITLE)
#undef TITLE
	};

	return titles[type];
}

const char *
sl_option_type_wanted(enum sl_option_type type)
{
	static const char *const texts[] = {
#define WANTED(id, title, wanted) wanted,
		SL_OPTION_TYPES(WANTED)
#undef WANTED
	};

	return texts[type];
}

/* --- the annotated file ------------------------------------------------------ */

enum { COMMENT_WIDTH = 88 };

/* Help as comment lines, broken at spaces. */
static void
print_comment(struct sl_buf *out, int indent, const char *text)
{
	struct sl_slice rest = sl_slice_str(text);
	size_t width = COMMENT_WIDTH - (size_t)indent;

	while (rest.len) {
		size_t len = rest.len;

		if (len > width) {
			len = width;
			while (len > 1 && rest.ptr[len] != ' ')
				len--;
		}
		sl_buf_printf(out, "%*s# %.*s\n", indent, "", (int)len, rest.ptr);
		rest = sl_slice_trim(sl_slice_from(rest, len));
	}
}

static void
print_range(struct sl_buf *out, const struct sl_option *option)
{
	if (option->choices)
		sl_buf_printf(out, "%s", option->choices);
	else if (option->type == SL_OPTION_UINT || option->type == SL_OPTION_INT)
		sl_buf_printf(out, "%lld to %lld", (long long)option->min, (long long)option->max);
	else if (option->type == SL_OPTION_NUMBER)
		sl_buf_printf(out, "%g to %g", (double)option->min / 1000.0,
		              (double)option->max / 1000.0);
}

static bool
has_range(const struct sl_option *option)
{
	return option->choices || option->type == SL_OPTION_UINT ||
	       option->type == SL_OPTION_INT || option->type == SL_OPTION_NUMBER;
}

/* Parts of lists and maps have no default of their own: they are shown as
 * comments, with an example that passes. */
static void
print_members_as_comment(struct sl_buf *out, const struct sl_option_section *section, int indent)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct sl_option *option = &section->options[i];

		sl_buf_printf(out, "#%*s%s:", indent, "", option->key);
		if (option->fallback)
			sl_buf_printf(out, " %s", option->fallback);
		sl_buf_append_str(out, "  # ");
		if (has_range(option)) {
			print_range(out, option);
			sl_buf_append_str(out, ". ");
		}
		sl_buf_printf(out, "%s%s\n", option->required ? "Required. " : "", option->help);
		if (option->section)
			print_members_as_comment(out, option->section, indent + 2);
	}
}

static void
print_example(struct sl_buf *out, const char *yaml)
{
	struct sl_slice rest = sl_slice_str(yaml);

	while (rest.len) {
		struct sl_slice line = sl_slice_cut(&rest, '\n');

		sl_buf_printf(out, "#%.*s\n", SL_ARG(line));
	}
}

static void
print_section_yaml(struct sl_buf *out, const struct sl_option_section *section, int indent)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct sl_option *option = &section->options[i];

		if (indent == 0)
			sl_buf_append_char(out, '\n');
		print_comment(out, indent, option->help);
		if (has_range(option)) {
			sl_buf_printf(out, "%*s# ", indent, "");
			print_range(out, option);
			sl_buf_append_char(out, '\n');
		}
		if (option->type == SL_OPTION_SECTION) {
			sl_buf_printf(out, "%*s%s:\n", indent, "", option->key);
			print_section_yaml(out, option->section, indent + 2);
		} else if (option->type == SL_OPTION_LISTEN) {
			sl_buf_printf(out, "%s: 127.0.0.1:8080\n", option->key);
		} else if (option->type == SL_OPTION_LIST || option->type == SL_OPTION_MAP) {
			sl_buf_printf(out, "# For example:\n#%s:\n", option->key);
			print_example(out, option->section->example);
			sl_buf_append_str(out, "# with\n");
			print_members_as_comment(out, option->section, 4);
		} else if (option->type == SL_OPTION_PRICES) {
			sl_buf_printf(out, "# For example:\n#%s:\n", option->key);
			sl_buf_append_str(out, "#  openai/gpt-4o-mini: {input: 0.15, output: 0.60}\n");
		} else if (option->fallback) {
			sl_buf_printf(out, "%*s%s: %s\n", indent, "", option->key,
			              option->fallback);
		} else {
			/* An option without a value is one that is not given. */
			sl_buf_printf(out, "%*s%s:\n", indent, "", option->key);
		}
	}
}

void
sl_options_print_yaml(struct sl_buf *out)
{
	sl_buf_append_str(out,
	    "# Every option of Sluice at its default. Take what you change, leave out the rest.\n"
	    "# ${NAME} reads the environment, ${NAME:-default} has a default, ${file:PATH} reads a\n"
	    "# file, $$ is a dollar sign. Times are milliseconds, sizes are bytes.\n");
	print_section_yaml(out, sl_options_root(), 0);
}

/* --- the reference ------------------------------------------------------------ */

static void
print_table(struct sl_buf *out, const struct sl_option_section *section, const char *path)
{
	sl_buf_append_str(out, "| option | type | range | default | on reload | meaning |\n"
	                       "|---|---|---|---|---|---|\n");
	for (size_t i = 0; i < section->count; i++) {
		const struct sl_option *option = &section->options[i];
		struct sl_buf range;
		struct sl_slice rest;

		sl_buf_init(&range, 1024);
		print_range(&range, option);
		sl_buf_printf(out, "| `%s%s` | %s | ", path, option->key,
		              sl_option_type_title(option->type));
		/* A bar would end the cell. */
		rest = sl_buf_slice(&range);
		while (rest.len) {
			struct sl_slice word = sl_slice_cut(&rest, '|');

			sl_buf_printf(out, "%.*s%s", SL_ARG(word), rest.len ? ", " : "");
		}
		sl_buf_release(&range);
		if (option->type == SL_OPTION_LISTEN)
			sl_buf_append_str(out, " | `127.0.0.1:8080`");
		else if (option->required)
			sl_buf_append_str(out, " | required");
		else if (option->fallback)
			sl_buf_printf(out, " | `%s`", option->fallback);
		else
			sl_buf_append_str(out, " | ");
		sl_buf_printf(out, " | %s | %s |\n", option->reloadable ? "yes" : "restart",
		              option->help);
	}
	sl_buf_append_char(out, '\n');
}

static void
print_tables(struct sl_buf *out, const struct sl_option_section *section, const char *path)
{
	char inner[128];

	print_table(out, section, path);
	for (size_t i = 0; i < section->count; i++) {
		const struct sl_option *option = &section->options[i];

		if (!option->section || option->type == SL_OPTION_LISTEN)
			continue;
		snprintf(inner, sizeof(inner), "%s%s%s", path, option->key,
		         option->type == SL_OPTION_LIST  ? "[]."
		         : option->type == SL_OPTION_MAP ? ".NAME."
		                                         : ".");
		sl_buf_printf(out, "### `%.*s`\n\n%s\n\n", (int)strlen(inner) - 1, inner,
		              option->help);
		print_tables(out, option->section, inner);
	}
}

void
sl_options_print_markdown(struct sl_buf *out)
{
	print_tables(out, sl_options_root(), "");
}
