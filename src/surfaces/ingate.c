/* ingate.c - the Ingate proxy's contract.
 *
 * X-Ingate-Key says who, X-Ingate-Provider where to: any path passes to that
 * provider as it is, with the credential stored here or, where the provider is
 * configured so, the caller's own. X-Ingate-Translate lets a provider of another
 * API serve the request. Errors are flat: {"error":"...","error_code":"..."}.
 */
#include "surfaces/surface.h"

enum { LABEL_MAX = 256 };

#define PREFIX SL_SLICE("sk-ingate-")

static enum sl_claim
claim(const struct sl_surface_request *request)
{
	if (sl_headers_has(request->headers, "x-ingate-key") ||
	    sl_headers_has(request->headers, "x-ingate-provider"))
		return SL_CLAIM_CARRIER;
	if (sl_slice_starts(sl_surface_bearer(request->headers), PREFIX))
		return SL_CLAIM_PREFIX;
	return SL_CLAIM_NONE;
}

static struct sl_slice
credential(const struct sl_surface_request *request, struct sl_arena *arena)
{
	struct sl_slice bearer = sl_surface_bearer(request->headers);

	(void)arena;
	if (sl_headers_has(request->headers, "x-ingate-key"))
		return sl_headers_get(request->headers, "x-ingate-key");
	return sl_slice_starts(bearer, PREFIX) ? bearer : SL_SLICE_NONE;
}

/* OpenAI's SDK, pointed at this gateway without /v1, leaves it out. */
static struct sl_slice
whole_path(struct sl_slice path, struct sl_arena *arena)
{
	struct sl_shape_input input = { 0 };
	struct sl_slice longer;

	if (sl_shape_match(path, arena, &input))
		return path;
	longer = sl_arena_join(arena, (struct sl_slice[]){ SL_SLICE("/v1"), path }, 2);
	return sl_shape_match(longer, arena, &input) ? longer : path;
}

static struct sl_slice
first_of_kind(const struct sl_config *config, const char *kind)
{
	for (size_t i = 0; i < config->provider_count; i++)
		if (config->providers[i].enabled && sl_slice_is(config->providers[i].kind, kind))
			return config->providers[i].name;
	return SL_SLICE_NONE;
}

/* Whom a path belongs to, else the default; empty when neither is there. */
static struct sl_slice
detect(const struct sl_config *config, struct sl_slice path)
{
	static const char *const owners[][2] = {
		{ "/v1/chat/completions", "openai" }, { "/v1/embeddings", "openai" },
		{ "/v1/messages", "anthropic" },      { "/api/generate", "ollama" },
		{ "/api/chat", "ollama" },
	};
	struct sl_slice found = SL_SLICE_NONE;

	for (size_t i = 0; i < sizeof(owners) / sizeof(owners[0]); i++)
		if (sl_slice_is(path, owners[i][0]))
			found = first_of_kind(config, owners[i][1]);
	return found.len > 0 ? found : config->ingate_default;
}

static bool
choose(const struct sl_surface_request *request, struct sl_slice request_id,
       struct sl_arena *arena, struct sl_selection *out, struct sl_fault *fault)
{
	const struct sl_headers *in = request->headers;

	out->request_id = sl_surface_uuid(request_id, arena);
	out->path = whole_path(request->path, arena);
	out->provider = sl_headers_get(in, "x-ingate-provider");
	out->any_path = true;
	out->own_shape_only = !sl_slice_ieq(sl_headers_get(in, "x-ingate-translate"),
	                                    SL_SLICE("true"));
	out->end_user = sl_slice_upto(sl_headers_get(in, "x-ingate-user-id"), LABEL_MAX);
	if (out->provider.len == 0 && request->config->ingate_detect)
		out->provider = detect(request->config, out->path);
	if (out->provider.len > 0)
		return true;
	sl_fault_set(fault, SL_FAULT_BAD_REQUEST,
	             SL_SLICE("X-Ingate-Provider is missing: name the provider that the request "
	                      "is for."));
	fault->code = SL_SLICE("missing_provider");
	return false;
}

static void
headers(const struct sl_decision *decision, struct sl_arena *arena,
        struct sl_surface_headers *out)
{
	(void)arena;
	sl_surface_put(out, SL_SLICE("x-ingate-request-id"), decision->public_id);
	if (decision->provider.len > 0)
		sl_surface_put(out, SL_SLICE("x-cache"), SL_SLICE("MISS"));
	if (decision->provider.len > 0 &&
	    !sl_slice_eq(decision->provider, decision->provider_requested))
		sl_surface_put(out, SL_SLICE("x-ingate-served-by"), decision->provider);
	sl_surface_put(out, SL_SLICE("x-content-type-options"), SL_SLICE("nosniff"));
	sl_surface_put(out, SL_SLICE("x-frame-options"), SL_SLICE("DENY"));
	sl_surface_put(out, SL_SLICE("x-xss-protection"), SL_SLICE("1; mode=block"));
	sl_surface_put(out, SL_SLICE("referrer-policy"),
	               SL_SLICE("strict-origin-when-cross-origin"));
	sl_surface_put(out, SL_SLICE("permissions-policy"),
	               SL_SLICE("geolocation=(), camera=(), microphone=()"));
}

/* The contract knows 400, 401, 404, 413, 429 and 502. */
static int
status_of(const struct sl_fault *fault)
{
	int status = sl_fault_status(fault);

	if (fault->kind == SL_FAULT_BALANCE)
		return 429;
	return status > 502 ? 502 : status;
}

static int
fault(const struct sl_decision *decision, const struct sl_shape_ops *shape,
      const struct sl_fault *refused, struct sl_arena *arena, struct sl_buf *out,
      struct sl_surface_headers *fields)
{
	bool budget = refused->kind == SL_FAULT_BUDGET || refused->kind == SL_FAULT_BALANCE;
	struct sl_json_writer w;

	(void)shape;
	headers(decision, arena, fields);
	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	sl_json_str(&w, "error", budget ? SL_SLICE("budget exceeded") : refused->message);
	sl_json_str(&w, "error_code",
	            budget ? SL_SLICE("budget_exceeded") : sl_fault_code(refused));
	if (budget) {
		sl_json_str(&w, "budget_id", refused->limit_of);
		sl_json_usd(&w, "current_spend", refused->used_nanousd);
		sl_json_usd(&w, "hard_limit_usd", refused->limit_nanousd);
		sl_json_str(&w, "message", refused->message);
	}
	sl_json_obj_end(&w);
	return status_of(refused);
}

static bool
owns_header(struct sl_slice name)
{
	return sl_slice_istarts(name, SL_SLICE("x-ingate-"));
}

const struct sl_surface_ops sl_surface_ingate = {
	.name = "ingate",
	.claim = claim,
	.credential = credential,
	.credential_hint = "X-Ingate-Key is missing: send a key of this gateway in it.",
	.select = choose,
	.headers = headers,
	.fault = fault,
	.owns_header = owns_header,
};
