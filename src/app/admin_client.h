/* admin_client.h - one call to a running gateway's admin API, for commands.
 * Blocking: it runs a loop of its own until the answer is there. */
#ifndef SL_APP_ADMIN_CLIENT_H
#define SL_APP_ADMIN_CLIENT_H

#include "base/buf.h"

struct sl_admin_call {
	const char     *url;        /* of the gateway: "http://127.0.0.1:8080" */
	const char     *master_key;
	const char     *method;
	struct sl_slice path;       /* "/admin/keys" */
	struct sl_slice body;       /* JSON, or empty */
	int             status;     /* of the answer */
	struct sl_buf   answer;     /* initialised and released by the caller */
	char            problem[256]; /* when there was no answer: what to tell */
};

/* False: no answer, see problem. */
bool sl_admin_call(struct sl_admin_call *call);

#endif
