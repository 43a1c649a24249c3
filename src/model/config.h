/* config.h - the configuration as plain data, after loading and checking.
 *
 * Read from YAML by app/, whose option table holds names, ranges, defaults and
 * help. Everything lives on one arena; shared: frozen. Slices are empty where
 * an option was not given.
 */
#ifndef SL_MODEL_CONFIG_H
#define SL_MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/secret.h"
#include "base/slice.h"

struct sl_config_strings {
	struct sl_slice *items;
	size_t           count;
};

struct sl_config_listen {
	struct sl_slice host;
	uint16_t        port;
	struct sl_slice tls_cert; /* path; empty: cleartext */
	struct sl_slice tls_key;
	bool            inherits_tls; /* takes the file's `tls` section */
};

struct sl_config_limits {
	uint64_t body_bytes;
	uint64_t header_bytes;
	uint64_t header_count;
	uint64_t header_timeout_ms;
	uint64_t body_timeout_ms;
	uint64_t keepalive_timeout_ms;
	uint64_t write_stall_ms;
	uint64_t connections;
	uint64_t h2_streams;
	uint64_t write_buffer_bytes;
	uint64_t requests_per_connection;
	uint64_t sse_event_bytes;   /* one upstream event; larger: the stream is cut */
	uint64_t record_queue_bytes; /* rows that wait for the store */
	uint64_t reply_bytes;       /* a reply that must be held whole to be read for usage */
	uint64_t output_tokens;     /* put in as an answer's limit where a budget needs one */
	uint64_t drain_ms;          /* reading on after the caller hung up */
	uint64_t drain_bytes;
	uint64_t cache_bytes;
};

/* Pictures and files that requests name by URL. */
struct sl_config_media {
	bool                     fetch;
	uint64_t                 bytes, timeout_ms; /* of one */
	struct sl_config_strings allow_cidr;
};

/* Kept answers of the Responses API. */
struct sl_config_responses {
	uint64_t keep_days; /* 0: none are */
	uint64_t bytes;     /* of all */
};

enum sl_auth_mode {
	SL_AUTH_DEFAULT, /* the provider kind's own */
	SL_AUTH_NONE,
	SL_AUTH_BEARER,
	SL_AUTH_HEADER,
	SL_AUTH_PASSTHROUGH, /* the caller's own credential */
	SL_AUTH_AWS,         /* each request is signed (SigV4) */
	SL_AUTH_GOOGLE,      /* a token got with a service account */
	SL_AUTH_ENTRA,       /* a token got with client credentials */
};

/* What clouds ask for in place of a key. */
struct sl_config_cloud {
	struct sl_slice  region;            /* AWS region, Vertex location */
	struct sl_slice  access_key_id;     /* AWS */
	struct sl_secret secret_access_key;
	struct sl_secret session_token;
	struct sl_slice  credentials_file;  /* Google: path of a service account's key */
	struct sl_slice  project;           /* Google; empty: the service account's */
	struct sl_slice  tenant_id;         /* Entra */
	struct sl_slice  client_id;
	struct sl_secret client_secret;
	struct sl_slice  token_url;         /* where tokens are got; empty: the usual place */
};

struct sl_config_timeouts {
	uint64_t connect_ms, first_byte_ms, idle_ms, total_ms; /* total 0: none */
};

struct sl_config_header {
	struct sl_slice name; /* lower-case */
	struct sl_slice value;
};

/* A further key of a provider. */
struct sl_config_credential {
	struct sl_secret api_key;
};

struct sl_config_provider {
	struct sl_slice           name;
	struct sl_slice           kind;        /* a provider kind's name, checked */
	struct sl_slice           base_url;    /* empty: the kind's own */
	struct sl_secret          api_key;     /* may be empty */
	struct sl_config_credential *credentials; /* beside it */
	size_t                    credential_count;
	enum sl_auth_mode         auth;
	struct sl_slice           auth_header; /* for SL_AUTH_HEADER, lower-case */
	bool                      enabled;
	bool                      from_environment; /* not written in the file */
	bool                      from_route;  /* stands for a route's base_url */
	struct sl_config_strings  fallback;
	struct sl_config_timeouts timeouts;
	struct sl_slice           ca_file;
	struct sl_config_strings  allow_cidr;
	struct sl_slice           http2;       /* "auto", "off", "only" */
	struct sl_slice           api_version; /* azure */
	struct sl_config_cloud    cloud;
	uint64_t                  max_connections;
	struct sl_config_header  *headers;     /* added to every request */
	size_t                    header_count;
};

struct sl_config_deployment {
	struct sl_slice id;       /* "alias/provider/model", stable across reloads */
	struct sl_slice provider; /* a name in providers, checked */
	struct sl_slice model;
	uint64_t        weight;
	int64_t         priority;
	uint64_t        concurrency; /* 0: no limit */
	struct sl_slice tier; /* simple, medium, complex or empty */
};

/* A second attempt beside a slow first one. */
struct sl_config_hedge {
	bool     enabled;
	uint64_t delay_ms;   /* 0: not by time */
	uint64_t percentile; /* 0: not by what the target usually takes */
};

struct sl_config_model {
	struct sl_slice              name;
	struct sl_slice              strategy;
	struct sl_config_deployment *deployments;
	size_t                       deployment_count;
	struct sl_config_strings     fallbacks; /* aliases, checked */
	struct sl_config_hedge       hedge;     /* says nothing: the router's */
};

struct sl_config_auction {
	bool            enabled; /* any of it is given */
	struct sl_slice category;
	int64_t         price_min_nanousd, price_max_nanousd;
	struct sl_slice bid;
	double          quality;
};

struct sl_config_route {
	struct sl_slice          name; /* org/name */
	struct sl_slice          base_url;
	enum sl_auth_mode        auth;
	struct sl_slice          auth_header;
	struct sl_slice          model;
	struct sl_slice          system;
	struct sl_config_auction auction;
};

/* What may be spent through something in a day and a month; 0: no budget. */
struct sl_config_budget {
	int64_t  daily_nanousd, monthly_nanousd;
	uint64_t warn_percent; /* of it spent: operators are told; 0: they are not */
	uint64_t stop_percent; /* of it spent or held: nothing more is bought; 0: never */
};

struct sl_config_stack {
	struct sl_slice          slug;
	int64_t                  version;
	struct sl_config_strings models, allowed_providers, blocked_providers,
	                         allowed_models, blocked_models;
	struct sl_config_strings regions;  /* of providers; empty: any */
	struct sl_config_strings requires; /* tools, json_schema, reasoning, image, ... */
	struct sl_slice          objective, quality, verification;
	uint64_t                 latency_slo_ms;   /* 0: none */
	bool                     fallback;         /* further targets when the first fails */
	int64_t                  max_cost_nanousd; /* expected, of one request; 0: no limit */
	struct sl_config_budget  budget;           /* of all its requests together */
};

struct sl_config_workspace {
	struct sl_slice slug;
	struct sl_slice stack;
	bool            prepaid;
	int64_t         minimum_balance_nanousd;
};

struct sl_config_price {
	struct sl_slice provider; /* a name in providers */
	struct sl_slice model;
	struct sl_slice fields;   /* the mapping as JSON text: {"input":0.1,...}, checked */
};

struct sl_config {
	struct sl_arena              arena;
	struct sl_slice              path;      /* of the file; empty: none */
	struct sl_slice              tls_cert;  /* `tls`: for each listener that names none */
	struct sl_slice              tls_key;
	bool                         providers_from_environment;
	struct sl_config_listen     *listen;
	size_t                       listen_count;
	struct sl_secret             master_key;
	struct sl_slice              alerts_url;
	struct sl_secret             alerts_secret;
	struct sl_slice              store;     /* URL */
	struct sl_slice              shared;    /* URL, may be empty */
	struct sl_slice              durability;
	uint64_t                     workers;   /* 0: one per core */
	struct sl_slice              keys;      /* "required" or "off" */
	bool                         keys_required;
	struct sl_slice              log_level;
	bool                         access_log;
	uint64_t                     shutdown_grace_ms;
	struct sl_config_strings     cors_origins; /* empty: CORS is off; "*" allowed */
	struct sl_config_strings     dns_servers; /* empty: those of /etc/resolv.conf */
	struct sl_slice              catalog;   /* path; empty: the built-in one */
	struct sl_config_limits      limits;
	struct sl_config_media       media;
	struct sl_config_responses   responses;
	struct sl_slice              hosted_tools; /* "refuse" or "drop" */
	struct sl_config_provider   *providers;
	size_t                       provider_count;
	struct sl_config_model      *models;
	size_t                       model_count;
	struct sl_slice              responses_gateway;   /* "bridge" or "native": whether a */
	struct sl_slice              responses_astrolabe; /* Responses request of the contract */
	struct sl_slice              responses_nexus;     /* may be translated */
	uint64_t                     cache_gateway_s;     /* how long an answer of the */
	uint64_t                     cache_nexus_s;       /* contract may be given again; */
	uint64_t                     cache_ingate_s;      /* 0: never */
	bool                         ingate_detect;
	struct sl_slice              ingate_default;      /* a provider; may be empty */
	struct sl_slice              router_auto;
	struct sl_slice              router_baseline; /* what savings are told against */
	uint64_t                     router_retries;
	uint64_t                     router_probe_interval_ms; /* 0: no probes */
	uint64_t                     queue_requests; /* 0: none waits */
	uint64_t                     queue_wait_ms;
	struct sl_config_hedge       hedge;
	bool                         hedges; /* this or an alias's says when */
	uint64_t                     hedge_budget_percent;
	struct sl_slice              auction_payment;
	int64_t                      auction_quality_nanousd; /* of a million tokens */
	struct sl_config_route      *routes;
	size_t                       route_count;
	struct sl_config_stack      *stacks;
	size_t                       stack_count;
	struct sl_config_workspace  *workspaces;
	size_t                       workspace_count;
	struct sl_config_price      *prices;
	size_t                       price_count;
};

/* Empty, with an arena of its own; NULL when out of memory. */
struct sl_config *sl_config_new(void);
/* Wipes the secrets and frees everything. NULL is fine. */
void sl_config_free(struct sl_config *config);

#endif
