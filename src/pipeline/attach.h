/* attach.h - what a request names by URL is fetched for a target that reads only what
 * is in the body. Private to the pipeline.
 *
 *   NONE --start--> FETCHING --all came--> (parts hold their data) --on_ready--> NONE
 *                      '-----one failed--> (fault is kept)         --on_ready--> NONE
 *
 * Only with media.fetch, and only where the attempt is translated: a target that takes
 * URLs gets the URL. The caller's part becomes data in the dialog, which every later
 * attempt takes as well. It happens before the attempt begins, so that neither the
 * target's health nor its money waits for a stranger's server, and so that the hold
 * knows what is sent.
 *
 * A caller decides where these fetches go. So: http and https, ports 80, 443 and those
 * above 1023, the public addresses of dial.h and media.allow_cidr, no redirect, no
 * credential of anybody, a limit of bytes and of time, and nothing of a failed answer is
 * told but its status. What the bytes are is proven by them where they can prove it.
 *
 * owner: loop.
 */
#ifndef SL_PIPELINE_ATTACH_H
#define SL_PIPELINE_ATTACH_H

#include "base/err.h"
#include "base/slice.h"

struct sl_ask;
struct sl_attachments;
struct sl_config_media;
struct sl_fault;
struct sl_part;
struct sl_plan_target;
struct sl_url;

enum {
	SL_ATTACH_MAX = 16,        /* URLs of one request */
	SL_ATTACH_AT_ONCE = 4,     /* of one request */
	SL_ATTACH_LOOP_MAX = 256,  /* under way on a loop */
};

/* SL_OK: nothing is to be fetched for the target, or it came. SL_AGAIN: on_ready follows,
 * once, unless cancelled; then ask again. Else *fault names the part. */
enum sl_err sl_attach_start(struct sl_ask *ask, const struct sl_plan_target *target,
                            void (*on_ready)(struct sl_ask *ask), struct sl_fault *fault);
/* Nothing is called any more. Harmless when nothing is under way. */
void sl_attach_cancel(struct sl_ask *ask);

/* The address of a part's URL and what to ask there for (path and query); slices are
 * borrowed from it. NULL, else why it is none that is fetched. Pure. */
const char *sl_attach_url(struct sl_slice text, struct sl_url *url, struct sl_slice *target);
/* What fetched bytes are, as far as they and their Content-Type tell; empty: nothing that
 * may stand in the part. `head` is the first bytes in base64. Pure. */
struct sl_slice sl_attach_type(const struct sl_part *part, struct sl_slice content_type,
                               struct sl_slice head);

#endif
