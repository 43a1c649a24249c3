/* world.h - everything that was decided when the configuration was loaded.
 *
 * shared: frozen. A request takes a reference when it arrives and keeps it to
 * its end, so a reload never changes what a running request sees.
 */
#ifndef SL_PIPELINE_WORLD_H
#define SL_PIPELINE_WORLD_H

#include <stdatomic.h>

#include "base/secret.h"
#include "model/catalog.h"
#include "model/config.h"
#include "net/client.h"
#include "pipeline/gateway.h"
#include "pipeline/keyset.h"
#include "providers/oauth.h"
#include "providers/provider.h"
#include "routing/offers.h"

/* How a provider's access token is got. */
struct sl_token_grant {
	struct sl_slice               provider; /* its name, for the log */
	struct sl_slice               identity; /* equal: the same token */
	const struct sl_config_cloud *cloud;
	struct sl_oauth_account       account;  /* Google; without key: Entra */
	struct sl_slice               scope;
	struct sl_origin              origin;   /* of the token endpoint */
	struct sl_slice               target;
};
/* The body for the token endpoint; wipe it. sl_oauth_account_form's errors. */
enum sl_err sl_token_grant_form(const struct sl_token_grant *grant, int64_t now_s,
                                struct sl_secret *form);

/* A configured provider, ready to be asked. */
struct sl_upstream {
	const struct sl_config_provider *config;
	const struct sl_provider_kind   *kind;
	struct sl_url                    url;
	struct sl_origin                 origin;
	enum sl_auth_mode                auth;        /* never SL_AUTH_DEFAULT */
	struct sl_slice                  auth_header; /* lower-case name */
	struct sl_keyset                 keys;        /* as they go on the wire */
	struct sl_token_grant           *grant;       /* NULL: it takes no token */
	struct sl_slice                  project;     /* Google: configured, or the account's */
	struct sl_slice                 *targets;     /* by sl_shape_index: of requests without a
	                                               * query, where neither model nor verb
	                                               * stands in the path; else empty */
};

struct sl_world {
	atomic_uint         refs;
	uint64_t            serial;    /* no other world of the process has it */
	struct sl_config   *config;
	struct sl_catalog  *catalog;
	struct sl_upstream *upstreams; /* one per config->providers, same order */
	struct sl_offers    offers;    /* what `auto` chooses from where nobody says */
	struct sl_slice     sample_model;
	struct {
		struct sl_origin origin;
		struct sl_slice  target; /* empty: no webhook */
	} alert; /* alerts.h */
	struct {
		struct sl_cidr        *allow;
		size_t                 allow_count;
		struct sl_tls_context *tls; /* NULL: nothing is fetched */
		struct sl_slice        identity; /* of this policy */
	} media; /* attach.h */
};

/* credential.c: fills the auth members of an upstream whose other members stand.
 * False: *reason says why. Release in any case. */
bool sl_credential_prepare(struct sl_upstream *up, struct sl_arena *arena,
                           struct sl_buf *reason);
void sl_credential_release(struct sl_upstream *up);

#endif
