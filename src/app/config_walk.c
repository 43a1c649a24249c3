/* config_walk.c - YAML nodes along the option table into the struct.
 *
 * One recursion serves every section: each key of a mapping is looked up in the
 * section's rows, and the row says what the value must be and where it goes.
 * Aliases are followed, so both depth and the number of visits are bounded.
 */
#include "app/config_loader.h"

#include <stdio.h>

enum { NAMES_MAX = 64 }; /* rows of a section compared for a suggestion */

struct sl_config_mark
sl_loader_mark(const yaml_node_t *node)
{
	return (struct sl_config_mark){
		.line = (uint32_t)node->start_mark.line + 1,
		.column = (uint32_t)node->start_mark.column + 1,
	};
}

size_t
sl_loader_push(struct sl_loader *loader, struct sl_slice name)
{
	size_t length = strlen(loader->path);

	snprintf(loader->path + length, sizeof(loader->path) - length, "%s%.*s",
	         length ? "." : "", (int)(name.len > 64 ? 64 : name.len),
	         name.ptr ? name.ptr : "");
	return length;
}

void
sl_loader_pop(struct sl_loader *loader, size_t length)
{
	loader->path[length] = '\0';
}

bool
sl_loader_enter(struct sl_loader *loader, const yaml_node_t *node)
{
	if (loader->visits > SL_CONFIG_VISITS_MAX)
		return false;
	if (++loader->visits > SL_CONFIG_VISITS_MAX) {
		sl_config_error(loader->report, sl_loader_mark(node),
		                "the file holds more than %d values, counting aliases — use fewer "
		                "aliases (*name)",
		                SL_CONFIG_VISITS_MAX);
		return false;
	}
	if (loader->depth == SL_CONFIG_DEPTH_MAX) {
		sl_config_error(loader->report, sl_loader_mark(node),
		                "nested deeper than %d levels — does an alias (*name) refer to "
		                "something around itself?",
		                SL_CONFIG_DEPTH_MAX);
		return false;
	}
	loader->depth++;
	return true;
}

void
sl_loader_leave(struct sl_loader *loader)
{
	loader->depth--;
}

bool
sl_loader_is_null(const yaml_node_t *node)
{
	struct sl_slice text;

	if (node->type == YAML_NO_NODE)
		return true;
	if (node->type != YAML_SCALAR_NODE ||
	    node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	text = sl_slice_make(node->data.scalar.value, node->data.scalar.length);
	return text.len == 0 || sl_slice_is(text, "~") || sl_slice_is(text, "null");
}

void
sl_loader_wrong_type(struct sl_loader *loader, const yaml_node_t *node, const char *wanted)
{
	sl_config_error(loader->report, sl_loader_mark(node), "%s is %s — it must be %s",
	                loader->path[0] ? loader->path : "the file",
	                node->type == YAML_SEQUENCE_NODE  ? "a list"
	                : node->type == YAML_MAPPING_NODE ? "a mapping"
	                                                  : "a single value",
	                wanted);
}

bool
sl_loader_key(struct sl_loader *loader, const yaml_node_t *mapping, const yaml_node_pair_t *pair,
              struct sl_slice *key, struct sl_config_mark *mark)
{
	yaml_node_t *node = yaml_document_get_node(loader->document, pair->key);

	*mark = sl_loader_mark(node);
	if (node->type != YAML_SCALAR_NODE || node->data.scalar.length == 0) {
		sl_config_error(loader->report, *mark, "a key must be a name — write `name: value`");
		return false;
	}
	*key = sl_slice_make(node->data.scalar.value, node->data.scalar.length);
	if (sl_slice_is(*key, "<<")) {
		sl_config_error(loader->report, *mark,
		                "merge keys (<<) are not read — write the options out, or use an "
		                "alias for the whole value");
		return false;
	}
	for (const yaml_node_pair_t *other = mapping->data.mapping.pairs.start; other < pair;
	     other++) {
		const yaml_node_t *seen = yaml_document_get_node(loader->document, other->key);

		/* Many keys must not cost their square, nor aliases multiply it. */
		if (++loader->key_looks >= SL_CONFIG_KEY_LOOKS_MAX) {
			if (loader->key_looks == SL_CONFIG_KEY_LOOKS_MAX)
				sl_config_error(loader->report, *mark,
				                "too many keys in one mapping — a few thousand "
				                "is the most");
			return false;
		}
		if (seen->type == YAML_SCALAR_NODE &&
		    sl_slice_eq(*key, sl_slice_make(seen->data.scalar.value,
		                                    seen->data.scalar.length))) {
			sl_config_error(loader->report, *mark,
			                "%.*s is written twice, first in line %u — keep one",
			                SL_ARG(*key), sl_loader_mark(seen).line);
			return false;
		}
	}
	return true;
}

static const struct sl_option *
find_option(const struct sl_option_section *section, struct sl_slice key)
{
	for (size_t i = 0; i < section->count; i++)
		if (sl_slice_is(key, section->options[i].key))
			return &section->options[i];
	return NULL;
}

static void
unknown_key(struct sl_loader *loader, const struct sl_option_section *section,
            struct sl_slice key, struct sl_config_mark mark)
{
	const char *names[NAMES_MAX] = { NULL };
	const char *nearest;
	size_t count = 0;
	char known[400];
	size_t used = 0;

	for (; count < section->count && count < NAMES_MAX; count++)
		names[count] = section->options[count].key;
	nearest = sl_config_nearest(key, names, count);
	if (nearest) {
		sl_config_error(loader->report, mark, "unknown option %s%s%.*s — did you mean %s?",
		                loader->path, loader->path[0] ? "." : "",
		                (int)(key.len > 64 ? 64 : key.len), key.ptr, nearest);
		return;
	}
	for (size_t i = 0; i < count && used < sizeof(known); i++)
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i ? ", " : "",
		                         names[i]);
	sl_config_error(loader->report, mark, "unknown option %s%s%.*s — known here: %s",
	                loader->path, loader->path[0] ? "." : "",
	                (int)(key.len > 64 ? 64 : key.len), key.ptr, known);
}

/* One element of a list or map, with its defaults, then what the file says. */
static void
read_element(struct sl_loader *loader, const struct sl_option *option, char *element,
             yaml_node_t *node)
{
	sl_loader_defaults(loader, option->section, element);
	if (!sl_loader_is_null(node) || option->type == SL_OPTION_LIST)
		sl_loader_section(loader, option->section, element, node);
}

static void
read_list(struct sl_loader *loader, const struct sl_option *option, char *base, yaml_node_t *node)
{
	size_t count;
	char *elements;

	if (node->type != YAML_SEQUENCE_NODE) {
		sl_loader_wrong_type(loader, node, sl_option_type_wanted(option->type));
		return;
	}
	count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	elements = sl_arena_zalloc(loader->arena, count ? count : 1, option->section->size);
	if (!elements) {
		loader->out_of_memory = true;
		return;
	}
	*(void **)(void *)(base + option->offset) = elements;
	*(size_t *)(void *)(base + option->count_offset) = count;
	for (size_t i = 0; i < count; i++) {
		yaml_node_t *item = yaml_document_get_node(loader->document,
		                                           node->data.sequence.items.start[i]);
		char index[24];
		size_t length;

		snprintf(index, sizeof(index), "%zu", i);
		length = sl_loader_push(loader, sl_slice_str(index));
		sl_loader_place(loader, elements + i * option->section->size, true,
		                sl_loader_mark(item));
		read_element(loader, option, elements + i * option->section->size, item);
		sl_loader_pop(loader, length);
	}
}

static void
read_map(struct sl_loader *loader, const struct sl_option *option, char *base, yaml_node_t *node)
{
	size_t size = option->section->size, count = 0, room;
	char *elements;

	if (node->type != YAML_MAPPING_NODE) {
		sl_loader_wrong_type(loader, node, sl_option_type_wanted(option->type));
		return;
	}
	room = (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
	elements = sl_arena_zalloc(loader->arena, room ? room : 1, size);
	if (!elements) {
		loader->out_of_memory = true;
		return;
	}
	*(void **)(void *)(base + option->offset) = elements;
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		char *element = elements + count * size;
		struct sl_config_mark mark;
		struct sl_slice key;
		size_t length;

		if (!sl_loader_key(loader, node, pair, &key, &mark))
			continue;
		key = sl_arena_dup(loader->arena, key);
		if (!key.ptr) {
			loader->out_of_memory = true;
			return;
		}
		*(struct sl_slice *)(void *)(element + option->section->name_offset) = key;
		sl_loader_place(loader, element, true, mark);
		/* Counted before it is read: its secrets have an owner then. */
		*(size_t *)(void *)(base + option->count_offset) = ++count;
		length = sl_loader_push(loader, key);
		read_element(loader, option, element,
		             yaml_document_get_node(loader->document, pair->value));
		sl_loader_pop(loader, length);
	}
}

static void
read_option(struct sl_loader *loader, const struct sl_option *option, char *base,
            yaml_node_t *node)
{
	struct sl_config_scalar scalar;

	/* The caller dealt with null: the option is as good as left out. */
	switch (option->type) {
	case SL_OPTION_SECTION:
		sl_loader_section(loader, option->section, base + option->offset, node);
		return;
	case SL_OPTION_LIST:
		read_list(loader, option, base, node);
		return;
	case SL_OPTION_MAP:
		read_map(loader, option, base, node);
		return;
	case SL_OPTION_STRINGS:
		sl_loader_strings(loader, (void *)(base + option->offset), node);
		return;
	case SL_OPTION_LISTEN:
		sl_loader_listen(loader, node);
		return;
	case SL_OPTION_HEADERS:
		sl_loader_headers(loader, (void *)base, node);
		return;
	case SL_OPTION_PRICES:
		sl_loader_prices(loader, node);
		return;
	default:
		if (sl_loader_scalar(loader, node, sl_option_type_wanted(option->type), &scalar))
			sl_loader_value(loader, option, base, &scalar);
	}
}

/* Places are not sorted yet: those of this section stand from `first` on. */
static bool
was_placed(const struct sl_loader *loader, size_t first, const void *field)
{
	for (size_t i = first; i < loader->place_count; i++)
		if (loader->places[i].field == field && !loader->places[i].element)
			return true;
	return false;
}

static void
check_required(struct sl_loader *loader, const struct sl_option_section *section, char *base,
               const yaml_node_t *node, size_t first)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct sl_option *option = &section->options[i];

		if (option->required && !was_placed(loader, first, base + option->offset))
			sl_config_error(loader->report, sl_loader_mark(node),
			                "%s has no %s — add `%s:`", loader->path, option->key,
			                option->key);
	}
}

void
sl_loader_section(struct sl_loader *loader, const struct sl_option_section *section, void *base,
                  yaml_node_t *node)
{
	size_t first = loader->place_count;

	if (!sl_loader_enter(loader, node))
		return;
	if (node->type != YAML_MAPPING_NODE) {
		sl_loader_wrong_type(loader, node, "a mapping of options");
		goto out;
	}
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		yaml_node_t *value = yaml_document_get_node(loader->document, pair->value);
		const struct sl_option *option;
		struct sl_config_mark mark;
		struct sl_slice key;
		size_t length;

		if (!sl_loader_key(loader, node, pair, &key, &mark))
			continue;
		option = find_option(section, key);
		if (!option) {
			unknown_key(loader, section, key, mark);
			continue;
		}
		if (sl_loader_is_null(value))
			continue;
		length = sl_loader_push(loader, key);
		if (option->type != SL_OPTION_SECTION)
			sl_loader_place(loader, (char *)base + option->offset, false,
			                sl_loader_mark(value));
		read_option(loader, option, base, value);
		sl_loader_pop(loader, length);
	}
	check_required(loader, section, base, node, first);
out:
	sl_loader_leave(loader);
}

void
sl_loader_defaults(struct sl_loader *loader, const struct sl_option_section *section, void *base)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct sl_option *option = &section->options[i];

		if (option->type == SL_OPTION_SECTION) {
			sl_loader_defaults(loader, option->section, (char *)base + option->offset);
		} else if (option->fallback) {
			struct sl_config_scalar scalar = { .text = sl_slice_str(option->fallback) };

			sl_loader_value(loader, option, base, &scalar);
		}
	}
}
