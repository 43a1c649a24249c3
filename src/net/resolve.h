/* resolve.h - host names to addresses, without ever blocking a loop.
 *
 * Answers come from /etc/hosts, then DNS (c-ares), and are remembered for
 * their TTL, at most 30 s; failures for 2 s. Equal questions in flight are
 * asked once. owner: loop.
 */
#ifndef SL_NET_RESOLVE_H
#define SL_NET_RESOLVE_H

#include <netinet/in.h>

#include "base/list.h"
#include "base/slice.h"
#include "net/loop.h"

enum { SL_RESOLVE_MAX = 16 }; /* addresses kept per name */

union sl_address {
	struct sockaddr     any;
	struct sockaddr_in  in;
	struct sockaddr_in6 in6;
};

struct sl_resolver; /* one per loop */

/* A question. Embedded in its owner; zeroed before its first use. */
struct sl_resolve {
	struct sl_list node; /* private */
	/* Called once, from the loop. Ports are 0; detail is set on failure. */
	void (*on_done)(struct sl_resolve *resolve, enum sl_err err,
	                const union sl_address *addresses, size_t count, const char *detail);
};

/* What is known at once. */
struct sl_resolved {
	union sl_address addresses[SL_RESOLVE_MAX];
	size_t           count;
	const char      *detail; /* static text, on failure */
};

/* Servers to ask instead of those of /etc/resolv.conf, for all resolvers: IP literals, with
 * ":PORT" where it is not 53 (IPv6 then in brackets). Before the first question, by one
 * thread. SL_EINVAL: one of them is none; SL_ELIMIT: too many. */
enum { SL_RESOLVE_SERVERS_MAX = 8 };
bool sl_resolve_is_server(struct sl_slice server);
enum sl_err sl_resolve_use_servers(const struct sl_slice *servers, size_t count);

struct sl_resolver *sl_resolver_new(struct sl_loop *loop);
/* No question may be open. */
void sl_resolver_free(struct sl_resolver *resolver);

/* SL_OK: an IP literal, localhost, or remembered; the answer is in *out.
 * SL_AGAIN: asked, on_done follows. SL_ERESOLVE, SL_EINVAL (not a host name),
 * SL_ELIMIT (too many names in flight), SL_ENOMEM: failed, out->detail says why. */
enum sl_err sl_resolve_start(struct sl_resolver *resolver, struct sl_slice host,
                             struct sl_resolve *resolve, struct sl_resolved *out);
/* No call follows. Harmless when not started or done. */
void sl_resolve_cancel(struct sl_resolve *resolve);

#endif
