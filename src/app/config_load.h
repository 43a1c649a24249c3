/* config_load.h - from a YAML file and the environment to a checked snapshot. */
#ifndef SL_APP_CONFIG_LOAD_H
#define SL_APP_CONFIG_LOAD_H

#include "app/config_report.h"
#include "model/config.h"

enum { SL_CONFIG_FILE_MAX = 1024 * 1024 }; /* bytes */

struct sl_config_source {
	const char     *path; /* NULL: no file, only defaults and the environment */
	struct sl_slice text; /* the file's contents; ptr NULL: they are read from path */
	char         *(*env)(const char *name); /* getenv */
};

/* Every problem goes into the report (initialised by the caller, who sets its
 * path). NULL exactly when there was an error; otherwise the caller owns the
 * snapshot (sl_config_free, or a world takes it over). Blocking: reads files. */
struct sl_config *sl_config_load(const struct sl_config_source *source,
                                 struct sl_config_report *report);

/* Whether the snapshot holds a provider of kind `mock` that still needs the
 * address of the built-in simulated provider; NULL when not. */
struct sl_config_provider *sl_config_mock(struct sl_config *config);

/* "127.0.0.1:8080", "[::1]:8080", "localhost:8080", "8080" (this machine only);
 * host borrows from text. Other names are refused: which address would it be? */
bool sl_config_parse_address(struct sl_slice text, struct sl_slice *host, uint16_t *port);

#endif
