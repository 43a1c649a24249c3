/* health.h - what /ready and the page say about the process. */
#ifndef SL_ADMIN_HEALTH_H
#define SL_ADMIN_HEALTH_H

#include <stdbool.h>

struct sl_admin;

struct admin_condition {
	bool ready;    /* all of what follows is well */
	bool store;    /* takes writes */
	bool draining; /* shutting down */
};
struct admin_condition admin_condition(const struct sl_admin *admin);

#endif
