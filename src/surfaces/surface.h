/* surface.h - a gateway contract that callers already know.
 *
 * A surface decides where the caller's credential is, which headers come back
 * and how a refusal of the gateway itself is written. It never looks inside a
 * message and touches no socket. The native one is `gateway`.
 *
 * To add a surface: one file that defines `const struct sl_surface_ops
 * sl_surface_NAME`, one line in surfaces.def. The first in the list that
 * recognises a request has it; gateway is last and recognises everything.
 */
#ifndef SL_SURFACES_SURFACE_H
#define SL_SURFACES_SURFACE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/headers.h"
#include "base/slice.h"
#include "model/fault.h"
#include "model/usage.h"
#include "shapes/shape.h"

struct sl_surface_request {
	struct sl_slice          method, path, query;
	const struct sl_headers *headers;
};

/* What was decided and what came of it: the one record that headers print. */
struct sl_decision {
	struct sl_slice request_id;
	struct sl_slice key_id;
	struct sl_slice provider;   /* empty: no provider was asked */
	struct sl_slice model;      /* the provider's id */
	struct sl_slice bucket;     /* "direct" where no classifier ran */
	double          score;
	uint32_t        attempts;
	bool            priced;
	bool            cost_known; /* false while a stream is running */
	int64_t         cost_nanousd;
	int64_t         rpm_limit, rpm_remaining, rpm_reset_s; /* limit 0: none */
};

enum { SL_SURFACE_HEADERS_MAX = 24 };
struct sl_surface_headers {
	struct sl_header items[SL_SURFACE_HEADERS_MAX];
	size_t           count;
};

struct sl_surface_ops {
	const char *name;
	bool (*recognise)(const struct sl_surface_request *request);
	/* The gateway credential the caller presented; empty when none. Borrowed
	 * from the headers (or decoded on the arena). */
	struct sl_slice (*credential)(const struct sl_surface_request *request,
	                              struct sl_arena *arena);
	/* Headers of an answer (success or the provider's error), values on the arena. */
	void (*headers)(const struct sl_decision *decision, struct sl_arena *arena,
	                struct sl_surface_headers *out);
	/* Names of trailers that follow a stream ("X-Gateway-Cost-Usd"), or empty. */
	struct sl_slice (*trailer_names)(void);
	void (*trailers)(const struct sl_decision *decision, struct sl_arena *arena,
	                 struct sl_surface_headers *out);
	/* A refusal by the gateway: body into out (application/json), extra headers. */
	void (*fault)(const struct sl_decision *decision, const struct sl_shape_ops *shape,
	              const struct sl_fault *fault, struct sl_arena *arena, struct sl_buf *out,
	              struct sl_surface_headers *headers);
	/* Whether a header of the caller belongs to this contract and must not
	 * travel upstream (beyond the common list). */
	bool (*owns_header)(struct sl_slice name);
};

#define SL_SURFACE(id) extern const struct sl_surface_ops sl_surface_##id;
#include "surfaces/surfaces.def"
#undef SL_SURFACE

const struct sl_surface_ops *sl_surface_recognise(const struct sl_surface_request *request);
/* Whether any surface's contract owns the header: nothing of one leaks upstream. */
bool sl_surface_owns_header(struct sl_slice name);

/* Credential carriers of the SDKs, in this order: Authorization: Bearer,
 * x-api-key, api-key, x-goog-api-key, ?key=. */
struct sl_slice sl_surface_sdk_credential(const struct sl_surface_request *request,
                                          struct sl_arena *arena);

#endif
