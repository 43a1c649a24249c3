/* dial.h - the one place where an outgoing connection begins.
 *
 * Resolve (c-ares, never blocking), check EVERY address against the policy,
 * then connect to exactly a checked address - no second look-up - racing
 * address families (RFC 8305). Denied unless allowed: this-network, private,
 * shared, loopback, link-local, documentation/benchmark, multicast and reserved
 * ranges, IPv4-mapped and -translated forms of them, unique-local; cloud
 * metadata addresses are denied even when a range that holds them is allowed.
 */
#ifndef SL_NET_DIAL_H
#define SL_NET_DIAL_H

#include "net/client.h"

struct sockaddr;
struct sl_dialer; /* one per loop */
struct sl_dial;   /* one attempt to connect */

struct sl_dialer *sl_dialer_new(struct sl_loop *loop);
void sl_dialer_free(struct sl_dialer *dialer);

/* done is called once from the loop, never from inside sl_dial_start: fd >= 0
 * connected (the callee owns it), or err with the stage and a detail. The origin
 * is used until then. Without a timeout of its own. NULL: out of memory. */
typedef void sl_dial_done(void *context, int fd, const struct sl_fetch_error *error);
struct sl_dial *sl_dial_start(struct sl_dialer *dialer, const struct sl_origin *origin,
                              sl_dial_done *done, void *context);
/* No further call. */
void sl_dial_cancel(struct sl_dial *dial);
/* SL_STAGE_RESOLVE or SL_STAGE_CONNECT. */
enum sl_fetch_stage sl_dial_stage(const struct sl_dial *dial);

/* The policy alone, pure. */
bool sl_dial_allowed(const struct sl_origin *origin, const struct sockaddr *address);
/* "localhost" and names below it: never looked up, always 127.0.0.1 and ::1
 * (RFC 6761 6.3), therefore allowed like a literal. */
bool sl_dial_host_is_localhost(struct sl_slice host);

/* Parses "10.0.0.0/8" or "fd00::/8" or a single address. */
enum sl_err sl_cidr_parse(struct sl_slice text, struct sl_cidr *out);

#endif
