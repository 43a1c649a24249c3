/* options.h - the option table: every name the configuration file knows.
 *
 * One row per option (options.def): name, type, range, default, whether a
 * reload changes it, help. The loader, `sluice check --defaults`, the reference
 * in docs/ and the admin API read this table and nothing else, so a row is all
 * it takes to add an option. shared: frozen.
 */
#ifndef SL_APP_OPTIONS_H
#define SL_APP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* id, what the reference calls it, what an error message asks for */
#define SL_OPTION_TYPES(X)                                                        \
	X(BOOL, "true/false", "true or false")                                    \
	X(UINT, "integer", "a whole number")                                      \
	X(INT, "integer", "a whole number")                                       \
	X(NUMBER, "number", "a number such as 0.8")                               \
	X(USD, "US dollars", "an amount of US dollars such as 1.50")              \
	X(TEXT, "text", "text")                                                   \
	X(SECRET, "secret", "text")                                               \
	X(CHOICE, "word", "one word")                                             \
	X(PATH, "path", "the path of a file")                                     \
	X(URL, "URL", "a URL such as https://api.example.com/v1")                 \
	X(STRINGS, "list of texts", "a list such as [one, two]")                  \
	X(AUTH, "word", "none, bearer, passthrough or header:NAME")               \
	X(LISTEN, "address or list", "an address such as 127.0.0.1:8080, or a list of them") \
	X(HEADERS, "mapping", "a mapping of header names to values")              \
	X(PRICES, "mapping", "a mapping such as {openai/gpt-4o: {input: 2.5, output: 10}}") \
	X(SECTION, "section", "a mapping of options")                             \
	X(LIST, "list", "a list of mappings")                                     \
	X(MAP, "mapping", "a mapping of names to options")

enum sl_option_type {
#define SL_OPTION_ENUM(id, title, wanted) SL_OPTION_##id,
	SL_OPTION_TYPES(SL_OPTION_ENUM)
#undef SL_OPTION_ENUM
};

struct sl_option_section;

struct sl_option {
	const char         *key;
	enum sl_option_type type;
	size_t              offset;       /* of the field in the section's struct */
	size_t              count_offset; /* LIST, MAP, HEADERS, PRICES, LISTEN: of the count;
	                                   * AUTH: of the header's name */
	int64_t             min, max;     /* UINT, INT; NUMBER in thousandths */
	const char         *fallback;     /* default, as written in YAML; NULL: none */
	const char         *choices;      /* CHOICE: "a|b|c" */
	const struct sl_option_section *section; /* SECTION, LIST, MAP */
	bool                required;     /* in its section */
	bool                reloadable;   /* else it takes a restart */
	const char         *help;         /* one or two sentences */
};

/* The options of one mapping and the struct they fill. */
struct sl_option_section {
	const char             *name;
	size_t                  size;        /* of the struct, for LIST and MAP */
	size_t                  name_offset; /* MAP: where the key goes (a slice) */
	const struct sl_option *options;
	size_t                  count;
	const char             *example;     /* YAML that passes, for LIST and MAP */
};

const struct sl_option_section *sl_options_root(void);

/* "integer", ... / what an error message asks for. Never NULL. */
const char *sl_option_type_title(enum sl_option_type type);
const char *sl_option_type_wanted(enum sl_option_type type);

/* A configuration file with every option at its default and its help as a
 * comment; it passes the check as it is. */
void sl_options_print_yaml(struct sl_buf *out);
/* The reference: a Markdown table for each section. */
void sl_options_print_markdown(struct sl_buf *out);

#endif
