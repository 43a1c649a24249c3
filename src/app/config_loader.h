/* config_loader.h - what the parts of the loader share. Private to config_*.c.
 *
 *   config_load.c        the file, the order of the steps, defaults
 *   config_walk.c        YAML nodes along the option table into the struct
 *   config_value.c       one scalar: substitution, types, ranges
 *   config_special.c     the few options with a shape of their own
 *   config_check.c       what only the whole can show: references, cycles, files
 *   config_environment.c providers that are there because a variable is set
 */
#ifndef SL_APP_CONFIG_LOADER_H
#define SL_APP_CONFIG_LOADER_H

#include <yaml.h>

#include "app/config_load.h"
#include "app/options.h"

enum {
	SL_CONFIG_DEPTH_MAX = 32,       /* nesting of nodes, aliases followed */
	SL_CONFIG_VISITS_MAX = 100000,  /* nodes looked at, aliases followed: the alias bomb */
	SL_CONFIG_KEY_LOOKS_MAX = 20000000, /* comparisons of keys, over the whole file */
	SL_CONFIG_SCALAR_MAX = 64 * 1024, /* bytes of one value after substitution */
};

/* Where a field of the snapshot was written, or an element of a list or map as
 * a whole (whose address is that of its first field). */
struct sl_config_place {
	const void           *field;
	bool                  element;
	struct sl_config_mark mark;
};

struct sl_loader {
	struct sl_config         *config;
	struct sl_arena          *arena;  /* the snapshot's */
	struct sl_config_report  *report;
	const struct sl_config_source *source;
	struct sl_slice           directory; /* of the file, with its last slash; may be empty */
	yaml_document_t          *document;
	size_t                    visits, key_looks;
	unsigned                  depth;
	char                      path[200]; /* of the option at hand: "limits.body_bytes" */
	struct sl_config_place   *places;
	size_t                    place_count, place_cap;
	bool                      out_of_memory;
};

/* A scalar as written and as it reads after substitution. */
struct sl_config_scalar {
	struct sl_slice       text;
	struct sl_slice       written;
	bool                  substituted; /* text must not be shown */
	struct sl_config_mark mark;
};

/* --- places ----------------------------------------------------------------- */

void sl_loader_place(struct sl_loader *loader, const void *field, bool element,
                     struct sl_config_mark mark);
/* Once, after the walk and before the first look. */
void sl_loader_sort_places(struct sl_loader *loader);
/* Line 0 when it was not written in the file. */
struct sl_config_mark sl_loader_where(const struct sl_loader *loader, const void *field);
struct sl_config_mark sl_loader_where_element(const struct sl_loader *loader,
                                              const void *element);
static inline bool
sl_loader_written(const struct sl_loader *loader, const void *field)
{
	return sl_loader_where(loader, field).line != 0;
}
struct sl_config_mark sl_loader_mark(const yaml_node_t *node);
/* A path of the file, absolute or relative to the file's directory. */
struct sl_slice sl_loader_resolve(struct sl_loader *loader, struct sl_slice path);

/* --- walk -------------------------------------------------------------------- */

void sl_loader_defaults(struct sl_loader *loader, const struct sl_option_section *section,
                        void *base);
void sl_loader_section(struct sl_loader *loader, const struct sl_option_section *section,
                       void *base, yaml_node_t *node);
/* Counts a visit of one more node a level down. False: too deep or too many,
 * said once. Each true is given back by sl_loader_leave. */
bool sl_loader_enter(struct sl_loader *loader, const yaml_node_t *node);
void sl_loader_leave(struct sl_loader *loader);
/* Appends ".name" to the path; returns the length to give to sl_loader_pop. */
size_t sl_loader_push(struct sl_loader *loader, struct sl_slice name);
void sl_loader_pop(struct sl_loader *loader, size_t length);
/* A plain empty value, ~ or null: the same as the option left out. */
bool sl_loader_is_null(const yaml_node_t *node);
/* The text of a mapping's key, unsubstituted; false after saying what is wrong.
 * Duplicates among the pairs before `pair` are refused here. */
bool sl_loader_key(struct sl_loader *loader, const yaml_node_t *mapping,
                   const yaml_node_pair_t *pair, struct sl_slice *key,
                   struct sl_config_mark *mark);
/* "must be X, not a list - write ..." */
void sl_loader_wrong_type(struct sl_loader *loader, const yaml_node_t *node, const char *wanted);

/* --- values ------------------------------------------------------------------ */

/* False after saying what is wrong. */
bool sl_loader_scalar(struct sl_loader *loader, const yaml_node_t *node, const char *wanted,
                      struct sl_config_scalar *out);
/* Parses into base + option->offset. Defaults come here too, with line 0. */
void sl_loader_value(struct sl_loader *loader, const struct sl_option *option, void *base,
                     const struct sl_config_scalar *scalar);
/* False after saying that it holds a control character; lines may end and tabs may stand. */
bool sl_loader_is_text(struct sl_loader *loader, const struct sl_config_scalar *scalar);
/* Digits with at most one point, at least one digit on each side; no sign. */
bool sl_config_is_decimal(struct sl_slice text);

/* --- special ----------------------------------------------------------------- */

void sl_loader_strings(struct sl_loader *loader, struct sl_config_strings *out,
                       yaml_node_t *node);
void sl_loader_listen(struct sl_loader *loader, yaml_node_t *node);
/* 127.0.0.1:8080 when nothing was said. */
void sl_loader_default_listen(struct sl_loader *loader);
void sl_loader_headers(struct sl_loader *loader, struct sl_config_provider *provider,
                       yaml_node_t *node);
void sl_loader_prices(struct sl_loader *loader, yaml_node_t *node);

/* --- the whole --------------------------------------------------------------- */

/* Names of one sort, sorted for look-up. */
struct sl_config_names {
	struct sl_config_name {
		struct sl_slice name;
		size_t          index; /* in the snapshot's array */
	}     *items;
	size_t count;
};
/* Collects the slices at `offset` of `count` structs of `size` bytes. */
bool sl_config_names_init(struct sl_loader *loader, struct sl_config_names *names,
                          const void *base, size_t count, size_t size, size_t offset);
/* The index, or -1. */
ptrdiff_t sl_config_names_find(const struct sl_config_names *names, struct sl_slice name);
/* " — did you mean X?" or the remedy given, for a name that was not found. */
const char *sl_config_names_hint(struct sl_loader *loader, const struct sl_config_names *names,
                                 struct sl_slice name, const char *remedy);
/* Each name whose list of fallbacks leads back to it is an error. lists(i) are
 * the fallbacks of the i-th. */
void sl_config_find_cycles(struct sl_loader *loader, const struct sl_config_names *names,
                           const struct sl_config_strings *(*list)(const struct sl_config *config,
                                                                   size_t index),
                           size_t count, const char *what);

/* Adds providers whose variables are set, and the simulated one when there is
 * nothing else. */
void sl_loader_environment(struct sl_loader *loader);
/* Providers for routes that lead elsewhere; last, after the checks. */
void sl_loader_routes(struct sl_loader *loader);
/* The kind's variable that is set and not empty; NULL: none. */
const char *sl_loader_env_first(const struct sl_loader *loader, const char *const *names,
                                size_t count);
void sl_loader_check(struct sl_loader *loader);
void sl_loader_check_providers(struct sl_loader *loader, const struct sl_config_names *names);
void sl_loader_check_ranges(struct sl_loader *loader, const struct sl_config_strings *ranges);
/* A file that must be there for later. */
void sl_loader_check_readable(struct sl_loader *loader, const struct sl_slice *path,
                              const char *what);
/* Whether a URL leads to one of this gateway's own listeners. */
bool sl_loader_is_own_address(const struct sl_loader *loader, struct sl_slice text);

#endif
