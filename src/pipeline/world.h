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
#include "providers/provider.h"

/* A configured provider, ready to be asked. */
struct sl_upstream {
	const struct sl_config_provider *config;
	const struct sl_provider_kind   *kind;
	struct sl_url                    url;
	struct sl_origin                 origin;
	enum sl_auth_mode                auth;        /* never SL_AUTH_DEFAULT */
	struct sl_slice                  auth_header; /* lower-case name */
	struct sl_secret                 auth_value;  /* as it goes on the wire; may be empty */
};

struct sl_world {
	atomic_uint         refs;
	struct sl_config   *config;
	struct sl_catalog  *catalog;
	struct sl_upstream *upstreams; /* one per config->providers, same order */
	struct sl_slice     sample_model;
};

#endif
