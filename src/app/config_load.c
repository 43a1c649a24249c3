/* config_load.c - from a YAML file and the environment to a checked snapshot.
 *
 *   defaults -> file along the option table -> environment -> the whole checked
 *
 * Every step goes on after a problem, so that one run shows them all; only a
 * file that is no YAML ends early, because nothing behind the fault has a
 * reliable meaning.
 */
#include "app/config_loader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { PLACES_FIRST = 64 };

/* --- places ------------------------------------------------------------------- */

void
sl_loader_place(struct sl_loader *loader, const void *field, bool element,
                struct sl_config_mark mark)
{
	if (loader->place_count == loader->place_cap) {
		size_t cap = loader->place_cap ? loader->place_cap * 2 : PLACES_FIRST;
		struct sl_config_place *places =
		    realloc(loader->places, cap * sizeof(loader->places[0]));

		if (!places) {
			loader->out_of_memory = true;
			return;
		}
		loader->places = places;
		loader->place_cap = cap;
	}
	loader->places[loader->place_count++] =
	    (struct sl_config_place){ .field = field, .element = element, .mark = mark };
}

static int
compare_places(const void *a, const void *b)
{
	const struct sl_config_place *x = a, *y = b;

	if (x->field != y->field)
		return (uintptr_t)x->field < (uintptr_t)y->field ? -1 : 1;
	return x->element - y->element;
}

void
sl_loader_sort_places(struct sl_loader *loader)
{
	if (loader->place_count)
		qsort(loader->places, loader->place_count, sizeof(loader->places[0]),
		      compare_places);
}

static struct sl_config_mark
look_up(const struct sl_loader *loader, const void *field, bool element)
{
	const struct sl_config_place wanted = { .field = field, .element = element };
	const struct sl_config_place *found = NULL;

	if (loader->place_count)
		found = bsearch(&wanted, loader->places, loader->place_count,
		                sizeof(loader->places[0]), compare_places);
	return found ? found->mark : (struct sl_config_mark){ 0 };
}

struct sl_config_mark
sl_loader_where(const struct sl_loader *loader, const void *field)
{
	return look_up(loader, field, false);
}

struct sl_config_mark
sl_loader_where_element(const struct sl_loader *loader, const void *element)
{
	return look_up(loader, element, true);
}

/* --- the file ------------------------------------------------------------------ */

static enum sl_err
read_file(struct sl_loader *loader, struct sl_buf *out)
{
	const char *path = loader->source->path;
	struct sl_config_mark whole = { 0 };
	ssize_t got = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	if (fd < 0) {
		sl_config_error(loader->report, whole, "cannot be read: %s — check the path and "
		                "its permissions", strerror(errno));
		return SL_EIO;
	}
	while (sl_buf_reserve(out, 16 * 1024) == SL_OK &&
	       (got = read(fd, out->ptr + out->len, 16 * 1024)) > 0)
		out->len += (size_t)got;
	if (got < 0)
		sl_config_error(loader->report, whole, "cannot be read: %s — name an ordinary "
		                "file", strerror(errno));
	else if (out->failed)
		sl_config_error(loader->report, whole, "is larger than %d bytes — is it the right "
		                "file?", SL_CONFIG_FILE_MAX);
	close(fd);
	return got < 0 || out->failed ? SL_EIO : SL_OK;
}

/* Line and column of a byte, for faults that libyaml places by offset only. */
static struct sl_config_mark
mark_of_offset(struct sl_slice text, size_t offset)
{
	struct sl_config_mark mark = { 1, 1 };

	for (size_t i = 0; i < offset && i < text.len; i++) {
		mark.column++;
		if (text.ptr[i] == '\n') {
			mark.line++;
			mark.column = 1;
		}
	}
	return mark;
}

/* The usual reason for a fault in flow style: a brace of ${NAME} is YAML's. */
static bool
line_has_reference(struct sl_slice text, uint32_t line)
{
	for (uint32_t i = 1; i < line && text.len; i++)
		sl_slice_cut(&text, '\n');
	return sl_slice_search(sl_slice_cut(&text, '\n'), SL_SLICE("${")) >= 0;
}

static void
report_syntax(struct sl_loader *loader, const yaml_parser_t *parser, struct sl_slice text)
{
	struct sl_config_mark mark = { (uint32_t)parser->problem_mark.line + 1,
		                       (uint32_t)parser->problem_mark.column + 1 };
	const char *remedy = "check the indentation, and quote texts with : # { } [ ] , & * in them";

	if (parser->error == YAML_READER_ERROR) {
		mark = mark_of_offset(text, parser->problem_offset);
		remedy = "save the file as UTF-8 without control characters";
	} else if (line_has_reference(text, mark.line)) {
		remedy = "inside { } and [ ] write \"${NAME}\" in quotes";
	}
	sl_config_error(loader->report, mark, "not valid YAML: %s — %s",
	                parser->problem ? parser->problem : "out of memory", remedy);
}

/* The two things that cost libyaml the square of their number, looked for in
 * the bytes alone: brackets open at once, and anchors. What stands in quotes or
 * comments is counted too; no sane file comes near. */
static bool
costs_little(struct sl_loader *loader, struct sl_slice text)
{
	enum { OPEN_MAX = 200, ANCHORS_MAX = 2000 };
	int open_brackets = 0, anchors = 0;

	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (c == '[' || c == '{')
			open_brackets++;
		else if ((c == ']' || c == '}') && open_brackets > 0)
			open_brackets--;
		else if (c == '&')
			anchors++;
		if (open_brackets > OPEN_MAX || anchors > ANCHORS_MAX) {
			sl_config_error(loader->report, mark_of_offset(text, i),
			                "more than %d %s — is it the right file?",
			                open_brackets > OPEN_MAX ? OPEN_MAX : ANCHORS_MAX,
			                open_brackets > OPEN_MAX ? "brackets are open here"
			                                         : "anchors (&)");
			return false;
		}
	}
	return true;
}

static void
parse_file(struct sl_loader *loader, struct sl_slice text)
{
	yaml_document_t document;
	yaml_parser_t parser;
	yaml_node_t *root;

	if (!costs_little(loader, text))
		return;
	if (!yaml_parser_initialize(&parser)) {
		loader->out_of_memory = true;
		return;
	}
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text.ptr, text.len);
	if (!yaml_parser_load(&parser, &document)) {
		report_syntax(loader, &parser, text);
		goto out;
	}
	loader->document = &document;
	root = yaml_document_get_root_node(&document);
	if (root && !sl_loader_is_null(root))
		sl_loader_section(loader, sl_options_root(), loader->config, root);
	yaml_document_delete(&document);
	loader->document = NULL;
	if (!yaml_parser_load(&parser, &document)) {
		report_syntax(loader, &parser, text);
		goto out;
	}
	root = yaml_document_get_root_node(&document);
	if (root)
		sl_config_error(loader->report, sl_loader_mark(root),
		                "a second document begins here — keep one, remove `---`");
	yaml_document_delete(&document);
out:
	yaml_parser_delete(&parser);
}

static void
load_file(struct sl_loader *loader)
{
	struct sl_slice path = sl_slice_str(loader->source->path);
	struct sl_buf text;

	loader->config->path = sl_arena_dup(loader->arena, path);
	for (size_t i = 0; i < path.len; i++)
		if (path.ptr[i] == '/')
			loader->directory = sl_slice_upto(loader->config->path, i + 1);
	if (loader->source->text.ptr) {
		parse_file(loader, loader->source->text);
		return;
	}
	sl_buf_init(&text, SL_CONFIG_FILE_MAX);
	if (read_file(loader, &text) == SL_OK)
		parse_file(loader, sl_buf_slice(&text));
	if (text.ptr)
		explicit_bzero(text.ptr, text.len);
	sl_buf_release(&text);
}

/* --- names ---------------------------------------------------------------------- */

static int
compare_names(const void *a, const void *b)
{
	const struct sl_config_name *x = a, *y = b;
	size_t len = x->name.len < y->name.len ? x->name.len : y->name.len;
	int order = len ? memcmp(x->name.ptr, y->name.ptr, len) : 0;

	if (order)
		return order;
	if (x->name.len != y->name.len)
		return x->name.len < y->name.len ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

bool
sl_config_names_init(struct sl_loader *loader, struct sl_config_names *names, const void *base,
                     size_t count, size_t size, size_t offset)
{
	names->count = 0;
	names->items = SL_ARENA_ARRAY(loader->arena, struct sl_config_name, count ? count : 1);
	if (!names->items) {
		loader->out_of_memory = true;
		return false;
	}
	for (size_t i = 0; i < count; i++) {
		const char *at = (const char *)base + i * size + offset;
		struct sl_slice name = *(const struct sl_slice *)(const void *)at;

		if (name.len)
			names->items[names->count++] =
			    (struct sl_config_name){ .name = name, .index = i };
	}
	qsort(names->items, names->count, sizeof(names->items[0]), compare_names);
	return true;
}

ptrdiff_t
sl_config_names_find(const struct sl_config_names *names, struct sl_slice name)
{
	const struct sl_config_name wanted = { .name = name, .index = 0 };
	size_t low = 0, high = names->count;

	/* The first that is not smaller: of equal names, the one written first. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_names(&names->items[middle], &wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < names->count && sl_slice_eq(names->items[low].name, name))
		return (ptrdiff_t)names->items[low].index;
	return -1;
}

const char *
sl_config_names_hint(struct sl_loader *loader, const struct sl_config_names *names,
                     struct sl_slice name, const char *remedy)
{
	enum { COMPARED_MAX = 256 };
	const char *texts[COMPARED_MAX];
	const char *nearest;
	size_t count = 0;

	for (; count < names->count && count < COMPARED_MAX; count++)
		texts[count] = names->items[count].name.ptr;
	/* Later problems are not shown, so they need no hint. */
	nearest = loader->report->count < SL_CONFIG_PROBLEMS_MAX
	              ? sl_config_nearest(name, texts, count) : NULL;
	if (!nearest)
		return remedy;
	return sl_arena_printf(loader->arena, "did you mean %s?", nearest).ptr;
}

/* --- all of it ------------------------------------------------------------------ */

struct sl_config *
sl_config_load(const struct sl_config_source *source, struct sl_config_report *report)
{
	struct sl_config_mark whole = { 0 };
	struct sl_loader loader = { .report = report, .source = source };

	loader.config = sl_config_new();
	if (!loader.config) {
		sl_config_error(report, whole, "out of memory");
		return NULL;
	}
	loader.arena = &loader.config->arena;
	sl_loader_defaults(&loader, sl_options_root(), loader.config);
	if (source->path)
		load_file(&loader);
	sl_loader_sort_places(&loader);
	sl_loader_default_listen(&loader);
	sl_loader_environment(&loader);
	sl_loader_check(&loader);
	sl_loader_routes(&loader);
	if (loader.out_of_memory)
		sl_config_error(report, whole, "out of memory, or more than the loader may use — "
		                "is it the right file?");
	free(loader.places);
	if (report->errors) {
		sl_config_free(loader.config);
		return NULL;
	}
	return loader.config;
}
