/* surface.h - a gateway contract that callers already know.
 *
 * A surface decides where the caller's credential is, what its headers and its
 * own members of the body choose, which headers come back, which paths it answers
 * itself and how a refusal of the gateway is written. It never looks inside a
 * message and touches no socket, clock or store. The native one is `gateway`.
 *
 * To add a surface: one file that defines `const struct sl_surface_ops
 * sl_surface_NAME`, one line in model/surfaces.def. The strongest claim on a request has
 * it; gateway claims what nobody else does.
 */
#ifndef SL_SURFACES_SURFACE_H
#define SL_SURFACES_SURFACE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/headers.h"
#include "base/json.h"
#include "base/slice.h"
#include "model/catalog.h"
#include "model/config.h"
#include "model/fault.h"
#include "model/usage.h"
#include "model/wish.h"
#include "shapes/shape.h"

enum { SL_SURFACE_CARRIERS = 4 };

struct sl_surface_request {
	struct sl_slice          method, path, query;
	const struct sl_headers *headers;
	const struct sl_config  *config;
	struct sl_slice          bearer; /* the token of Authorization: Bearer, or empty */
	/* It, and what the other fields have in which SDKs send a credential: those that are
	 * there and not empty. */
	struct sl_slice          carried[SL_SURFACE_CARRIERS];
	size_t                   carried_count;
};

/* What surfaces look at; what may be a credential is found once for all of them. */
struct sl_surface_request sl_surface_request_of(struct sl_slice method, struct sl_slice path,
                                                struct sl_slice query,
                                                const struct sl_headers *headers,
                                                const struct sl_config *config);

/* By what a surface knows a request for its own: a header that only it uses, the
 * prefix of the key, the path, or because nobody else wants it. */
enum sl_claim {
	SL_CLAIM_NONE,
	SL_CLAIM_REST,
	SL_CLAIM_PATH,
	SL_CLAIM_PREFIX,
	SL_CLAIM_CARRIER,
};

/* What the caller chose besides the message. Slices are of the request or the
 * arena; empty: not chosen. */
struct sl_selection {
	struct sl_slice path;       /* as the shapes see it */
	struct sl_slice request_id; /* as this contract shows it; empty: ours */
	struct sl_slice model;      /* instead of the body's */
	struct sl_slice provider;   /* configured name: this one and its fallbacks only */
	bool            any_path;   /* paths that no shape owns pass to the provider as they are */
	uint64_t        cache_s;    /* how long an answer may be given again; 0: never */
	bool            own_shape_only; /* nothing may be translated for this request */
	struct sl_slice end_user;   /* label */
	struct sl_slice tag;        /* label, where the request has no X-Gateway-Tag */
	struct sl_slice upstream_key; /* for a provider without a stored credential */
	struct sl_json  extensions;   /* an object: by provider, members for its request */
	struct sl_wish  wish;         /* of the routing: stack, quality ... */
};

/* The members of the body that belong to a contract, where present. */
struct sl_surface_members {
	struct sl_json astrolabe;   /* metadata.astrolabe */
	struct sl_json nexus;
	struct sl_json sto_payload;
	struct sl_slice model;      /* as the message or its path names it */
	const struct sl_shape_ops *shape;
};

/* Whether the answer was one that had been given before. */
enum sl_recall_outcome {
	SL_RECALL_NONE, /* such answers are not kept */
	SL_RECALL_MISS,
	SL_RECALL_HIT,
};

/* Who asks for what, and how far the key is from its limits: of this only the head of an
 * answer tells. */
struct sl_standing {
	struct sl_slice public_id;  /* of the request, as the contract shows it */
	struct sl_slice key_hint;   /* the beginning of the key, fit to be shown */
	struct sl_slice workspace;  /* of the key; may be empty */
	struct sl_slice model_requested;    /* as the contract calls it */
	struct sl_slice provider_requested; /* by name, not through a model; else empty */
	int64_t     wall_s;       /* when the request came, since 1970 */
	int64_t     rpm_limit, rpm_remaining, rpm_reset_s; /* limit 0: none */
	int64_t     tpm_limit, tpm_remaining, tpm_reset_s;
	bool        has_quota;    /* the key has a budget of its own: */
	const char *quota_window; /* "monthly", ... */
	int64_t     quota_limit_nanousd, quota_used_nanousd;
};

/* The route that won an auction. */
struct sl_won_auction {
	struct sl_slice agent, category;
	double          quality;                   /* as measured, 0-1 */
	int64_t         bid_nanousd, paid_nanousd; /* of a million tokens */
};

/* What was decided and what came of it: the one record that headers print. */
struct sl_decision {
	struct sl_slice request_id;
	struct sl_slice key_id;
	struct sl_slice provider;   /* empty: no provider was asked */
	struct sl_slice model;      /* the provider's id */
	struct sl_slice bucket;     /* "direct" where no classifier ran */
	double          score;
	struct sl_slice category;   /* as the classifier calls it; empty: none ran */
	double          confidence; /* 0-1, of the classifier */
	struct sl_slice stack;      /* whose rules held; empty: none */
	int64_t         stack_version;
	struct sl_slice verification; /* what came of it; empty: nothing was verified */
	int64_t         baseline_nanousd; /* what the reference model would have cost; expected
	                                   * until the cost is known */
	int64_t         estimate_nanousd; /* expected of the first choice, before it was asked */
	struct sl_slice reason;     /* why that was the first choice */
	const struct sl_won_auction *auction; /* NULL: there was none */
	struct sl_slice warnings;   /* "code;/pointer, ...": what translating changed */
	uint32_t        attempts;
	enum sl_recall_outcome recall;
	bool            has_baseline;
	bool            has_estimate;
	bool            explain;    /* the caller wants to know more of the choice */
	bool            stream;
	bool            bought;     /* a provider may charge for it */
	bool            hedged;     /* a second attempt ran beside the first */
	bool            hedge_won;  /* and its answer is this one */
	bool            priced;
	bool            cost_known; /* false while a stream is running */
	int64_t         cost_nanousd;
	const struct sl_standing *standing; /* NULL once the head of the answer is sent */
	/* Of a complete answer, in microseconds; 0 while it is running. */
	uint64_t        gateway_us;       /* added here */
	uint64_t        first_byte_us;    /* the provider's head, from sending */
	uint64_t        upstream_us;      /* the provider's whole answer */
};

/* A surface's own, at most; behind them there is room for what an answer has besides. */
enum { SL_SURFACE_HEADERS_MAX = 40, SL_ANSWER_FIELDS_MAX = 96 };
struct sl_surface_headers {
	size_t           count;
	struct sl_header items[SL_ANSWER_FIELDS_MAX];
};

/* What a page of a surface may tell. Borrowed for the call. */
struct sl_surface_view {
	const struct sl_config  *config;
	const struct sl_catalog *catalog;
	const struct sl_decision *decision; /* whose key, its quota */
	int64_t                  rpm;      /* of the key; 0: no limit */
	/* "provider/model": what `auto` chooses from where the configuration does not say. */
	const struct sl_slice   *offers;
	size_t                   offer_count;
	struct sl_slice          path, query;
	struct sl_arena         *arena;
	int64_t                  now_wall_ms;
	/* For pages with a question: what the key used, hours in order, the newest call first. */
	struct sl_usage_question question;
	const struct sl_usage_hour *hours;
	size_t                   hour_count;
	const struct sl_usage_times *times; /* NULL: not asked for, or of too many requests */
	const struct sl_usage_call *calls;
	size_t                   call_count;
	/* Whether the caller may use a model; true for pages without a key. */
	bool (*allows)(void *context, struct sl_slice model);
	void *context;
};

/* A path that the contract answers itself. Raw paths are compared; a pattern that
 * ends with '/' has everything below it. */
struct sl_surface_page {
	const char *method;   /* "GET" has HEAD */
	const char *pattern;
	bool        open;     /* needs no key */
	/* The JSON body of a 200; false: *fault. */
	bool (*write)(const struct sl_surface_view *view, struct sl_json_writer *w,
	              struct sl_fault *fault);
	/* Of what usage it tells; false: *fault. NULL: none. */
	bool (*ask)(const struct sl_surface_view *view, struct sl_usage_question *question,
	            struct sl_fault *fault);
};

struct sl_surface_ops {
	const char *name;
	enum sl_claim (*claim)(const struct sl_surface_request *request);
	/* The gateway credential the caller presented; empty when none. Borrowed
	 * from the headers (or decoded on the arena). */
	struct sl_slice (*credential)(const struct sl_surface_request *request,
	                              struct sl_arena *arena);
	bool tells_quota; /* its headers use the decision's quota */
	/* How to present one, for the refusal of a request without. */
	const char *credential_hint;
	/* What the head chooses, into an *out that holds the request's own path.
	 * False: *fault, to be told once it is known who asks. NULL: nothing. */
	bool (*select)(const struct sl_surface_request *request, struct sl_slice request_id,
	               struct sl_arena *arena, struct sl_selection *out,
	               struct sl_fault *fault);
	/* The same for the contract's members of the body. NULL: it has none. */
	bool (*read_members)(const struct sl_surface_members *members, struct sl_arena *arena,
	                     struct sl_selection *out, struct sl_fault *fault);
	/* Ends with a NULL pattern. NULL: none. */
	const struct sl_surface_page *pages;
	/* Headers of an answer (success or the provider's error), values on the arena. */
	void (*headers)(const struct sl_decision *decision, struct sl_arena *arena,
	                struct sl_surface_headers *out);
	/* A whole successful reply with what the contract adds to its body, into out.
	 * False: it stays as it is. NULL: nothing is ever added. */
	bool (*rewrite)(const struct sl_decision *decision, const struct sl_shape_ops *shape,
	                struct sl_slice body, struct sl_arena *arena, struct sl_buf *out);
	/* The same for an error that the provider answered with. */
	bool (*rewrite_error)(const struct sl_decision *decision, const struct sl_shape_ops *shape,
	                      struct sl_slice body, struct sl_arena *arena, struct sl_buf *out);
	/* Names of trailers that follow a stream ("X-Gateway-Cost-Usd"), or empty;
	 * NULL with trailers: none. */
	struct sl_slice (*trailer_names)(void);
	void (*trailers)(const struct sl_decision *decision, struct sl_arena *arena,
	                 struct sl_surface_headers *out);
	/* A refusal by the gateway: body into out (application/json), extra headers.
	 * Returns the HTTP status. */
	int (*fault)(const struct sl_decision *decision, const struct sl_shape_ops *shape,
	             const struct sl_fault *fault, struct sl_arena *arena, struct sl_buf *out,
	             struct sl_surface_headers *headers);
	/* A header of the caller that belongs to this contract and must not travel upstream
	 * (beyond the common list and all that begin with "x-NAME-"), or empty. */
	struct sl_slice own_header;
};

#define SL_SURFACE(id, prefix) extern const struct sl_surface_ops sl_surface_##id;
#include "model/surfaces.def"

const struct sl_surface_ops *sl_surface_recognise(const struct sl_surface_request *request);
/* Whether any surface's contract owns the header: nothing of one leaks upstream. */
bool sl_surface_owns_header(struct sl_slice name);
/* The surface's page of a path, and its methods as in an Allow field; NULL: it
 * has none of that path, or (*allow not empty) none for the method. */
const struct sl_surface_page *sl_surface_page(const struct sl_surface_ops *surface,
                                              struct sl_slice method, struct sl_slice path,
                                              const char **allow);

/* Credential carriers of the SDKs, in this order: Authorization: Bearer,
 * x-api-key, api-key, x-goog-api-key, ?key=. */
struct sl_slice sl_surface_sdk_credential(const struct sl_surface_request *request,
                                          struct sl_arena *arena);

/* --- for surfaces ----------------------------------------------------------- */

/* The first value in an SDK's header carrier that begins with prefix, or empty. */
struct sl_slice sl_surface_prefixed(const struct sl_surface_request *request,
                                    struct sl_slice prefix);
/* own_shape_only of a request: a Responses request whose surface is set to "native". */
bool sl_surface_keeps_shape(const struct sl_surface_request *request, struct sl_slice responses,
                            struct sl_arena *arena);
/* A parameter of the query as it stands there, not decoded; empty when absent. */
struct sl_slice sl_surface_query(struct sl_slice query, const char *name);
/* A piece of a path or query decoded, on the arena; as it stands where it cannot be. */
struct sl_slice sl_surface_decoded(struct sl_slice raw, struct sl_arena *arena);
/* A parameter decoded so. */
struct sl_slice sl_surface_parameter(struct sl_slice query, const char *name,
                                     struct sl_arena *arena);
/* Adds a field. What cannot be sent as one (no bytes, a line break) is left out:
 * nothing that a provider or a model returns can forge or split a header. */
void sl_surface_put(struct sl_surface_headers *out, struct sl_slice name, struct sl_slice value);
/* The same for a value that is our own text: a number, a word, an id made here. */
static inline void
sl_surface_put_own(struct sl_surface_headers *out, struct sl_slice name, struct sl_slice value)
{
	if (out->count < SL_SURFACE_HEADERS_MAX && value.ptr)
		out->items[out->count++] = (struct sl_header){ name, value };
}
/* "HIT" or "MISS". */
struct sl_slice sl_surface_cache(const struct sl_decision *decision);
/* US dollars with as many decimals, rounded half up. */
struct sl_slice sl_surface_usd(int64_t nanousd, unsigned decimals, struct sl_arena *arena);
/* The UUID (version 7) with the bits of a request id "req_<ULID>". */
struct sl_slice sl_surface_uuid(struct sl_slice request_id, struct sl_arena *arena);
/* The period of a page from two parameters of its query, each a date or a moment; by
 * default it ends now and has so many days, 0: began with the month of now. A date as the
 * end is the end of that day. */
bool sl_surface_period(const struct sl_surface_view *view, const char *since, const char *until,
                       unsigned days, struct sl_usage_question *question,
                       struct sl_fault *fault);
enum { SL_SURFACE_HOUR_MS = 3600000, SL_SURFACE_DAY_MS = 24 * SL_SURFACE_HOUR_MS };
/* A moment as RFC 3339. */
void sl_surface_put_time(struct sl_json_writer *w, const char *name, int64_t wall_ms);
/* Sums of the hours from index *at on that begin in the same `step_ms` as that one;
 * *at is then behind them. */
struct sl_usage_hour sl_surface_sum(const struct sl_surface_view *view, int64_t step_ms,
                                    size_t *at);
/* Whether text may be shown back as an id: 1 to 128 visible ASCII characters. */
bool sl_surface_is_id(struct sl_slice text);

#endif
