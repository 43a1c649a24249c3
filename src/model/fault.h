/* fault.h - what went wrong, before anybody wrote an envelope around it.
 *
 * One internal reason for every refusal and failure. The kind table holds the
 * HTTP status and whether another target may be tried; only a surface or shape
 * turns a fault into bytes. Infrastructure kinds are never 401, 403 or 404.
 */
#ifndef SL_MODEL_FAULT_H
#define SL_MODEL_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/slice.h"

/* id, status, type as the OpenAI envelope names it, default code, retry class.
 * Retry: NO (the request's own fault), NEXT (another target may do better). */
#define SL_FAULTS(X)                                                              \
	X(NONE, 200, "", "", NO)                                                  \
	X(BAD_REQUEST, 400, "invalid_request_error", "invalid_request", NO)       \
	X(BAD_JSON, 400, "invalid_request_error", "invalid_json", NO)             \
	X(BAD_TYPE, 400, "invalid_request_error", "invalid_type", NO)             \
	X(UNSUPPORTED, 400, "invalid_request_error", "unsupported_for_target", NO)\
	X(AUTH_MISSING, 401, "authentication_error", "missing_api_key", NO)       \
	X(AUTH, 401, "authentication_error", "invalid_api_key", NO)               \
	X(DISABLED, 401, "authentication_error", "key_disabled", NO)              \
	X(EXPIRED, 401, "authentication_error", "key_expired", NO)                \
	X(BALANCE, 402, "insufficient_quota", "payment_required", NO)             \
	X(MODEL_DENIED, 403, "permission_error", "model_not_allowed", NO)         \
	X(FORBIDDEN, 403, "permission_error", "forbidden", NO)                    \
	X(POLICY, 403, "permission_error", "policy_blocked", NO)                  \
	X(NO_ROUTE, 404, "not_found_error", "model_not_found", NO)                \
	X(NOT_FOUND, 404, "not_found_error", "not_found", NO)                     \
	X(METHOD, 405, "invalid_request_error", "method_not_allowed", NO)         \
	X(TIMEOUT, 408, "invalid_request_error", "request_timeout", NO)           \
	X(CONFLICT, 409, "invalid_request_error", "conflict", NO)                 \
	X(TOO_LARGE, 413, "invalid_request_error", "request_too_large", NO)       \
	X(MEDIA_TYPE, 415, "invalid_request_error", "unsupported_media_type", NO) \
	X(UPGRADE, 426, "invalid_request_error", "upgrade_required", NO)          \
	X(RPM, 429, "rate_limit_exceeded", "rate_limit_exceeded", NO)             \
	X(TPM, 429, "rate_limit_exceeded", "rate_limit_exceeded", NO)             \
	X(CONCURRENCY, 429, "rate_limit_exceeded", "rate_limit_exceeded", NO)     \
	X(BUDGET, 429, "insufficient_quota", "budget_exceeded", NO)               \
	X(HEADERS_TOO_LARGE, 431, "invalid_request_error", "headers_too_large", NO)\
	X(INTERNAL, 500, "server_error", "internal_error", NO)                    \
	X(UPSTREAM_UNREACHABLE, 502, "server_error", "upstream_unreachable", NEXT)\
	X(UPSTREAM_BROKEN, 502, "server_error", "upstream_invalid_response", NEXT)\
	X(UPSTREAM_CUT, 502, "server_error", "upstream_stream_cut", NEXT)         \
	X(UPSTREAM_AUTH, 502, "server_error", "upstream_auth_failed", NEXT)       \
	X(UPSTREAM_STATUS, 502, "server_error", "upstream_error", NEXT)           \
	X(UPSTREAM_TIMEOUT, 504, "server_error", "upstream_timeout", NEXT)        \
	X(UNAVAILABLE, 503, "server_error", "service_unavailable", NO)            \
	X(OVERLOADED, 503, "server_error", "overloaded", NO)

enum sl_fault_kind {
#define SL_FAULT_ENUM(id, status, type, code, retry) SL_FAULT_##id,
	SL_FAULTS(SL_FAULT_ENUM)
#undef SL_FAULT_ENUM
	SL_FAULT_KINDS,
};

struct sl_fault {
	enum sl_fault_kind kind;
	int                status;   /* HTTP; 0: the kind's own */
	struct sl_slice    message;  /* UTF-8, tells the caller what to change */
	struct sl_slice    code;     /* empty: the kind's own */
	struct sl_slice    param;    /* offending parameter, may be empty */
	uint32_t           retry_after_s; /* 0: none */
	bool               no_retry;      /* an SDK should not try again by itself */
	const char        *limit_kind;    /* "rpm", "tpm", "budget", ... or NULL */
	/* BUDGET, BALANCE: whose ("key:vk_..."), how much, and what is spent and held. */
	struct sl_slice    limit_of;
	int64_t            limit_nanousd, used_nanousd;
	struct sl_slice    allow;    /* METHOD: what would do, as in an Allow field */
};

int         sl_fault_status(const struct sl_fault *fault);
const char *sl_fault_type(enum sl_fault_kind kind);
const char *sl_fault_name(enum sl_fault_kind kind); /* "RPM", for records */
struct sl_slice sl_fault_code(const struct sl_fault *fault);
bool        sl_fault_may_retry(enum sl_fault_kind kind);

/* Fills a fault with the kind's defaults and a message (borrowed). */
SL_COLD void sl_fault_set(struct sl_fault *fault, enum sl_fault_kind kind,
                          struct sl_slice message);
/* The gateway is out of memory: SL_FAULT_OVERLOADED. */
SL_COLD void sl_fault_set_memory(struct sl_fault *fault);

#endif
