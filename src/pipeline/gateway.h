/* gateway.h - the pipeline as the application sees it.
 *
 * A world is everything a request needs that was decided when the configuration
 * was loaded: providers with their origins, aliases, catalogue. It is immutable
 * and reference-counted; a reload makes another and each loop changes over
 * between two requests. A gateway is one loop's pipeline.
 */
#ifndef SL_PIPELINE_GATEWAY_H
#define SL_PIPELINE_GATEWAY_H

#include "base/buf.h"
#include "model/catalog.h"
#include "model/config.h"
#include "net/client.h"
#include "net/loop.h"
#include "net/server.h"

struct sl_answers;
struct sl_agent_book;
struct sl_board;
struct sl_shelf;
struct sl_keyring;
struct sl_money;
struct sl_queue;
struct sl_stacks;
struct sl_store;
struct sl_sticky;
struct sl_telemetry;
struct sl_token_memory;
struct sl_tenants;
struct sl_alerts;
struct sl_world;
struct sl_gateway;

/* Takes the configuration and its arena over (freed with the world; on failure
 * too). NULL: *reason for the operator (a CA file that cannot be read ...),
 * appended to `reason`. */
struct sl_world *sl_world_new(struct sl_config *config_take, struct sl_buf *reason);
/* Before the world is shared: what the one that it replaces has learnt of the credentials
 * that both have. */
void sl_world_inherit(struct sl_world *world, const struct sl_world *from);
struct sl_world *sl_world_ref(struct sl_world *world);
void sl_world_unref(struct sl_world *world);
const struct sl_config *sl_world_config(const struct sl_world *world);
/* The card that prices the provider's model; NULL: unknown. */
const struct sl_model_card *sl_world_card(const struct sl_world *world, struct sl_slice provider,
                                          struct sl_slice model);
/* The first chat model a newcomer can call ("openai/gpt-4o-mini"), for the
 * banner; empty when no provider is usable. */
struct sl_slice sl_world_sample_model(const struct sl_world *world);

/* Things all gateways of the process share. */
struct sl_services {
	struct sl_keyring   *keyring;
	struct sl_tenants   *tenants;
	struct sl_alerts    *alerts;
	struct sl_telemetry *telemetry;
	struct sl_board     *board;
	struct sl_stacks    *stacks;
	struct sl_sticky    *sticky;
	struct sl_shelf     *shelf;
	struct sl_queue     *queue;
	struct sl_money     *money;
	struct sl_store     *store;
	struct sl_answers   *answers;
	struct sl_token_memory *corrections; /* of token estimates; NULL: none */
	struct sl_agent_book *agents; /* NULL: all are newcomers */
	bool (*draining)(void *context); /* the process is shutting down */
	void *context;
	/* Another handler on the same port: the admin room (/admin, /metrics,
	 * /health, /ready, /openapi.json, /). Exchanges whose raw path it owns
	 * are passed to it unseen. */
	const struct sl_server_handler *site;
	bool (*site_owns)(struct sl_slice path);
};

struct sl_gateway *sl_gateway_new(struct sl_loop *loop, struct sl_client *client,
                                  const struct sl_services *services, struct sl_world *world);
void sl_gateway_free(struct sl_gateway *gateway);
/* For sl_server_new. */
const struct sl_server_handler *sl_gateway_handler(struct sl_gateway *gateway);
/* From now on new asks see this world. On the gateway's loop. */
void sl_gateway_set_world(struct sl_gateway *gateway, struct sl_world *world);
/* Answers that are read on although their callers hung up. */
size_t sl_gateway_draining(const struct sl_gateway *gateway);
struct sl_server_limits sl_world_server_limits(const struct sl_world *world);

#endif
