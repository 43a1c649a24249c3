/* openapi.c - GET /openapi.json, made from the route tables.
 *
 * Which operations there are and who may call them comes from the tables that answer
 * them: the admin room's, the shapes', the contracts' pages. openapi.def adds what
 * people want to read, openapi_schemas.def the bodies. Nothing of it is in memory between
 * two requests.
 */
#include "admin/openapi.h"

#include <stdio.h>
#include <string.h>

#include "admin/call.h"
#include "ledger/money.h"
#include "model/wish.h"
#include "shapes/shape.h"
#include "surfaces/surface.h"

enum { ROUTES_MAX = 128, PATH_MAX_SIZE = 96, DOCUMENT_MAX = 1 << 20 };

struct route {
	const char     *method;
	char            path[PATH_MAX_SIZE];
	enum admin_role role;
	bool            aliased; /* the names of aliases.def lead here too */
};

struct routes {
	struct route items[ROUTES_MAX];
	size_t       count;
};

#define SL_TAG(name, refusal, provider, text)
#define SL_OPERATION(method, path, id, tag, summary, request, reply, status)
#define SL_PARAMETER(operation, in, name, type, text)

static const struct tag {
	const char *name, *refusal;
	bool        provider; /* its requests go on to one */
	const char *text;
} tags[] = {
#undef SL_TAG
#define SL_TAG(name, refusal, provider, text) { name, refusal, provider, text },
#include "admin/openapi.def"
#undef SL_TAG
#define SL_TAG(name, refusal, provider, text)
};
enum { TAG_COUNT = sizeof(tags) / sizeof(tags[0]) };

static const struct operation {
	const char *method, *path, *id, *tag, *summary, *request, *reply;
	int         status;
} operations[] = {
#undef SL_OPERATION
#define SL_OPERATION(method, path, id, tag, summary, request, reply, status)          \
	{ method, path, id, tag, summary, request, reply, status },
#include "admin/openapi.def"
#undef SL_OPERATION
#define SL_OPERATION(method, path, id, tag, summary, request, reply, status)
};
enum { OPERATION_COUNT = sizeof(operations) / sizeof(operations[0]) };

static const struct parameter {
	const char *operation, *in, *name, *type, *text;
} parameters[] = {
#undef SL_PARAMETER
#define SL_PARAMETER(operation, in, name, type, text) { operation, in, name, type, text },
#include "admin/openapi.def"
};
enum { PARAMETER_COUNT = sizeof(parameters) / sizeof(parameters[0]) };
#undef SL_TAG
#undef SL_OPERATION
#undef SL_PARAMETER

static const struct schema {
	const char *name, *text, *members, *example;
} schemas[] = {
#define SL_SCHEMA(name, text, members, example) { name, text, members, example },
#include "admin/openapi_schemas.def"
#undef SL_SCHEMA
};
enum { SCHEMA_COUNT = sizeof(schemas) / sizeof(schemas[0]) };

/* What the pipeline answers without a table. */
static const struct route natives[] = {
	{ "GET", "/v1/models", ADMIN_ROLE_KEY, true },
	{ "GET", "/v1/models/{id}", ADMIN_ROLE_KEY, true },
	{ "GET", "/v1beta/models", ADMIN_ROLE_KEY, false },
	{ "GET", "/v1beta/models/{id}", ADMIN_ROLE_KEY, false },
	{ "GET", "/v1/responses/{id}", ADMIN_ROLE_KEY, false },
	{ "DELETE", "/v1/responses/{id}", ADMIN_ROLE_KEY, false },
	{ "GET", "/v1/responses/{id}/input_items", ADMIN_ROLE_KEY, false },
	{ "POST", "/v1/estimate", ADMIN_ROLE_KEY, false },
	{ "POST", "/api/v1", ADMIN_ROLE_KEY, false },
	{ "GET", "/api/v1/budgets/{id}/status", ADMIN_ROLE_KEY, false },
};

/* Of every answer of a provider; other contracts have their own. */
static const struct { const char *name, *type, *text; } headers[] = {
	{ "X-Gateway-Request-Id", "text", "Of the receipt, GET /v1/receipts/{id}" },
	{ "X-Gateway-Decision", "text", "Provider and model that answered" },
	{ "X-Gateway-Route-Bucket", "text", "How hard the request was found" },
	{ "X-Gateway-Route-Score", "text", "The same from 0 to 1" },
	{ "X-Gateway-Cost-Usd", "text", "What it cost, six decimals; empty where its price is not known; a "
	  "trailer where it streams" },
	{ "X-Gateway-Cost-Exact-Usd", "text", "The same, nine decimals, where six round" },
	{ "X-Gateway-Cache", "text", "HIT: it had been given before and cost nothing; else MISS. Where "
	  "surfaces.gateway.cache_s keeps answers" },
	{ "X-Gateway-Retries", "text", "Attempts before the one that succeeded" },
};

/* --- which operations there are ------------------------------------------------ */

static void
add(struct routes *routes, const char *method, const char *path, enum admin_role role,
    bool aliased)
{
	struct route *route = &routes->items[routes->count];

	for (size_t i = 0; i < routes->count; i++)
		if (strcmp(routes->items[i].method, method) == 0 &&
		    strcmp(routes->items[i].path, path) == 0)
			return;
	if (routes->count == ROUTES_MAX)
		return;
	route->method = method;
	route->role = role;
	route->aliased = aliased;
	snprintf(route->path, sizeof(route->path), "%s", path);
	routes->count++;
}

/* "/admin/keys/:id" as "/admin/keys/{id}". */
static void
add_admin(struct routes *routes, const struct admin_route *row)
{
	char path[PATH_MAX_SIZE];
	const char *at = strstr(row->pattern, ":id");

	if (at)
		snprintf(path, sizeof(path), "%.*s{id}%s", (int)(at - row->pattern), row->pattern,
		         at + 3);
	else
		snprintf(path, sizeof(path), "%s", row->pattern);
	add(routes, row->method, path, row->role, false);
}

static void
add_pages(struct routes *routes, const struct sl_surface_ops *surface)
{
	for (const struct sl_surface_page *page = surface->pages; page && page->pattern; page++) {
		char path[PATH_MAX_SIZE];
		size_t len = strlen(page->pattern);

		snprintf(path, sizeof(path), "%s%s", page->pattern,
		         page->pattern[len - 1] == '/' ? "{id}" : "");
		add(routes, page->method, path, page->open ? ADMIN_ROLE_NONE : ADMIN_ROLE_KEY,
		    false);
	}
}

static void
collect(struct routes *routes)
{
	static const struct sl_surface_ops *const surfaces[] = {
#define SL_SURFACE(id, prefix) &sl_surface_##id,
#include "model/surfaces.def"
	};

	routes->count = 0;
	for (size_t i = 0; i < admin_route_count; i++)
		add_admin(routes, &admin_routes[i]);
	for (size_t i = 0; i < sl_shape_count(); i++)
		for (const struct sl_shape_path *row = sl_shape_at(i)->paths; row->pattern; row++)
			/* Gemini's SDK has a second name for each of its paths. */
			if (strncmp(row->pattern, "/v1/models/", 11) != 0)
				add(routes, "POST", row->pattern, ADMIN_ROLE_KEY, true);
	for (size_t i = 0; i < sizeof(natives) / sizeof(natives[0]); i++)
		add(routes, natives[i].method, natives[i].path, natives[i].role,
		    natives[i].aliased);
	for (size_t i = 0; i < sizeof(surfaces) / sizeof(surfaces[0]); i++)
		add_pages(routes, surfaces[i]);
}

static const struct operation *
describe(const struct route *route)
{
	for (size_t i = 0; i < OPERATION_COUNT; i++)
		if (strcmp(operations[i].method, route->method) == 0 &&
		    strcmp(operations[i].path, route->path) == 0)
			return &operations[i];
	return NULL;
}

static const struct tag *
tag_of(const struct operation *told)
{
	for (size_t i = 0; i < TAG_COUNT; i++)
		if (strcmp(tags[i].name, told->tag) == 0)
			return &tags[i];
	return NULL;
}

static const struct operation *
operation_of(const char *id)
{
	for (size_t i = 0; i < OPERATION_COUNT; i++)
		if (strcmp(operations[i].id, id) == 0)
			return &operations[i];
	return NULL;
}

static bool
has_route(const struct routes *routes, const struct operation *told)
{
	for (size_t i = 0; i < routes->count; i++)
		if (describe(&routes->items[i]) == told)
			return true;
	return false;
}

const char *
admin_openapi_gap(void)
{
	static struct routes routes; /* what is returned stays */

	collect(&routes);
	for (size_t i = 0; i < routes.count; i++)
		if (!describe(&routes.items[i]))
			return routes.items[i].path;
	for (size_t i = 0; i < OPERATION_COUNT; i++)
		if (!has_route(&routes, &operations[i]) || !tag_of(&operations[i]) ||
		    operation_of(operations[i].id) != &operations[i])
			return operations[i].path;
	for (size_t i = 0; i < PARAMETER_COUNT; i++)
		if (!operation_of(parameters[i].operation))
			return parameters[i].operation;
	return NULL;
}

/* --- the document --------------------------------------------------------------- */

static void
put(struct sl_json_writer *w, const char *name, const char *text)
{
	sl_json_str(w, name, sl_slice_str(text));
}

static void
put_type(struct sl_json_writer *w, const char *name, const char *type)
{
	sl_json_key(w, name);
	admin_openapi_type(w, sl_slice_str(type));
}

static void
put_media(struct sl_json_writer *w, struct sl_slice name, bool example)
{
	if (sl_slice_find(name, '/') >= 0) {
		sl_json_key_slice(w, name);
		sl_json_obj(w);
		put_type(w, "schema", sl_slice_starts(name, SL_SLICE("text/")) ? "text" : "file");
		sl_json_obj_end(w);
		return;
	}
	sl_json_key(w, sl_slice_is(name, "TranscriptionForm") ? "multipart/form-data"
	                                                      : "application/json");
	sl_json_obj(w);
	sl_json_key(w, "schema");
	admin_openapi_type(w, name);
	for (size_t i = 0; i < SCHEMA_COUNT; i++)
		if (example && sl_slice_is(name, schemas[i].name)) {
			sl_json_key(w, "example");
			sl_json_put_raw(w, sl_slice_str(schemas[i].example));
		}
	sl_json_obj_end(w);
}

static void
put_body(struct sl_json_writer *w, const char *names, bool example)
{
	struct sl_slice rest = sl_slice_str(names);

	sl_json_key(w, "content");
	sl_json_obj(w);
	while (rest.len > 0)
		put_media(w, sl_slice_cut(&rest, ','), example);
	sl_json_obj_end(w);
}

static void
put_parameter(struct sl_json_writer *w, const char *in, struct sl_slice name, const char *type,
              const char *text)
{
	sl_json_obj(w);
	sl_json_str(w, "name", name);
	put(w, "in", in);
	sl_json_bool(w, "required", strcmp(in, "path") == 0);
	put(w, "description", text);
	put_type(w, "schema", type);
	sl_json_obj_end(w);
}

static void
put_parameters(struct sl_json_writer *w, const struct operation *told)
{
	sl_json_key(w, "parameters");
	sl_json_arr(w);
	for (const char *open = strchr(told->path, '{'); open; open = strchr(open + 1, '{')) {
		struct sl_slice name = sl_slice_make(open + 1, (size_t)(strchr(open, '}') - open - 1));

		put_parameter(w, "path", name, "text",
		              sl_slice_is(name, "model") ? "As in the configuration, or provider/model"
		                                         : "Id, or slug where the thing has one");
	}
	for (size_t i = 0; i < PARAMETER_COUNT; i++)
		if (strcmp(parameters[i].operation, told->id) == 0)
			put_parameter(w, parameters[i].in, sl_slice_str(parameters[i].name),
			              parameters[i].type, parameters[i].text);
	sl_json_arr_end(w);
}

static void
put_security(struct sl_json_writer *w, enum admin_role role)
{
	static const char *const key[] = { "virtualKey", "apiKey", "googApiKey", NULL };
	static const char *const master[] = { "masterKey", NULL };
	const char *const *names = role == ADMIN_ROLE_MASTER ? master
	                           : role == ADMIN_ROLE_KEY  ? key
	                                                     : key + 3;

	sl_json_key(w, "security");
	sl_json_arr(w);
	for (; *names; names++) {
		sl_json_obj(w);
		sl_json_key(w, *names);
		sl_json_arr(w);
		sl_json_arr_end(w);
		sl_json_obj_end(w);
	}
	sl_json_arr_end(w);
}

/* --- answers ---------------------------------------------------------------------- */

static void
put_header(struct sl_json_writer *w, const char *name, const char *type, const char *text)
{
	sl_json_key(w, name);
	sl_json_obj(w);
	put(w, "description", text);
	put_type(w, "schema", type);
	sl_json_obj_end(w);
}

static void
put_success(struct sl_json_writer *w, const struct operation *told, bool provider)
{
	char status[12];

	snprintf(status, sizeof(status), "%d", told->status);
	sl_json_key(w, status);
	sl_json_obj(w);
	put(w, "description", told->summary);
	if (provider) {
		sl_json_key(w, "headers");
		sl_json_obj(w);
		for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
			put_header(w, headers[i].name, headers[i].type, headers[i].text);
		sl_json_obj_end(w);
	}
	if (*told->reply)
		put_body(w, told->reply, true);
	sl_json_obj_end(w);
}

enum { ALWAYS = 1, BODY = 2, KEYED = 4, MASTERED = 8, NAMED = 16, PROVIDER = 32 };
static const struct refusal {
	const char *status;
	unsigned    when;
	const char *text;
} refusals[] = {
	{ "400", BODY, "What it asks for cannot be done; the message says what to write instead." },
	{ "401", KEYED, "No key, or none that is known here." },
	{ "402", PROVIDER, "The prepaid credit does not suffice." },
	{ "403", MASTERED | PROVIDER, "The key is good, but may not do this." },
	{ "404", NAMED | PROVIDER, "There is no such thing, or no such model for this key." },
	{ "413", BODY, "The body is too large." },
	{ "415", BODY, "The body is of another media type." },
	{ "429", PROVIDER, "A limit of the key, its team or workspace, or of the provider." },
	{ "4XX", ALWAYS, "Another refusal." },
	{ "502", PROVIDER, "Every provider that could be tried failed." },
	{ "503", MASTERED | KEYED, "The store, or what is needed, is not there now." },
	{ "504", PROVIDER, "The provider took too long." },
};

static void
put_refusals(struct sl_json_writer *w, const struct route *route, const struct operation *told,
             const struct tag *tag, bool provider)
{
	unsigned is = ALWAYS;

	is |= *told->request ? BODY : 0;
	is |= route->role != ADMIN_ROLE_NONE ? KEYED : 0;
	is |= route->role == ADMIN_ROLE_MASTER ? MASTERED : 0;
	is |= strstr(told->path, "{id}") ? NAMED : 0;
	is |= provider ? PROVIDER : 0;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		if (!(refusals[i].when & is))
			continue;
		sl_json_key(w, refusals[i].status);
		sl_json_obj(w);
		put(w, "description", refusals[i].text);
		if (strcmp(refusals[i].status, "429") == 0) {
			sl_json_key(w, "headers");
			sl_json_obj(w);
			put_header(w, "Retry-After", "whole", "Seconds");
			sl_json_obj_end(w);
		}
		put_body(w, tag->refusal, false);
		sl_json_obj_end(w);
	}
}

static void
put_operation(struct sl_json_writer *w, const struct route *route, const struct operation *told)
{
	const struct tag *tag = tag_of(told);
	bool provider = tag->provider && *told->request;
	char method[8] = "";

	for (size_t i = 0; route->method[i] && i < sizeof(method) - 1; i++)
		method[i] = (char)(route->method[i] | 0x20);
	sl_json_key(w, method);
	sl_json_obj(w);
	put(w, "operationId", told->id);
	sl_json_key(w, "tags");
	sl_json_arr(w);
	sl_json_put_str(w, sl_slice_str(told->tag));
	sl_json_arr_end(w);
	put(w, "summary", told->summary);
	put_security(w, route->role);
	put_parameters(w, told);
	if (*told->request) {
		sl_json_key(w, "requestBody");
		sl_json_obj(w);
		sl_json_bool(w, "required", true);
		put_body(w, told->request, true);
		sl_json_obj_end(w);
	}
	sl_json_key(w, "responses");
	sl_json_obj(w);
	put_success(w, told, provider);
	put_refusals(w, route, told, tag, provider);
	sl_json_obj_end(w);
	sl_json_obj_end(w);
}

/* --- paths -------------------------------------------------------------------------- */

/* Other names of a path; "{rest}" of an alias is what stands behind the root it means. */
static void
put_alias(struct sl_json_writer *w, const char *path, const char *written, const char *meant)
{
	size_t root = strcspn(meant, "{"), head = (size_t)(strstr(written, "{rest}") - written);
	char text[2 * PATH_MAX_SIZE];

	if (strncmp(path, meant, root) != 0)
		return;
	snprintf(text, sizeof(text), "%.*s%s", (int)head, written, path + root);
	sl_json_put_str(w, sl_slice_str(text));
}

static void
put_aliases(struct sl_json_writer *w, const char *path)
{
	static const char beta[] = "/v1beta/models/", plain[] = "/v1/models/";

	sl_json_key(w, "x-aliases");
	sl_json_arr(w);
	for (size_t i = 0; i < sl_shape_count(); i++)
		for (const struct sl_shape_path *row = sl_shape_at(i)->paths; row->pattern; row++)
			if (strncmp(row->pattern, plain, sizeof(plain) - 1) == 0 &&
			    strncmp(path, beta, sizeof(beta) - 1) == 0 &&
			    strcmp(row->pattern + sizeof(plain) - 1, path + sizeof(beta) - 1) == 0)
				put_alias(w, path, "/v1/models/{rest}", "/v1beta/models/{rest}");
#define SL_PATH_ALIAS(written, meant) put_alias(w, path, written, meant);
#include "shapes/aliases.def"
#undef SL_PATH_ALIAS
	sl_json_arr_end(w);
}

/* Operations of a path stand together. */
static void
put_paths(struct sl_json_writer *w, const struct routes *routes)
{
	sl_json_key(w, "paths");
	sl_json_obj(w);
	for (size_t i = 0; i < routes->count; i++) {
		bool seen = false;

		for (size_t k = 0; k < i && !seen; k++)
			seen = strcmp(routes->items[k].path, routes->items[i].path) == 0;
		if (seen)
			continue;
		sl_json_key(w, routes->items[i].path);
		sl_json_obj(w);
		if (routes->items[i].aliased)
			put_aliases(w, routes->items[i].path);
		for (size_t k = i; k < routes->count; k++) {
			const struct operation *told = describe(&routes->items[k]);

			if (told && strcmp(routes->items[k].path, routes->items[i].path) == 0)
				put_operation(w, &routes->items[k], told);
		}
		sl_json_obj_end(w);
	}
	sl_json_obj_end(w);
}

static void
put_tags(struct sl_json_writer *w)
{
	sl_json_key(w, "tags");
	sl_json_arr(w);
	for (size_t i = 0; i < TAG_COUNT; i++) {
		sl_json_obj(w);
		put(w, "name", tags[i].name);
		put(w, "description", tags[i].text);
		sl_json_obj_end(w);
	}
	sl_json_arr_end(w);
}

static bool
is_refusal(const struct schema *schema)
{
	for (size_t i = 0; i < TAG_COUNT; i++)
		if (strcmp(tags[i].refusal, schema->name) == 0)
			return true;
	return false;
}

/* A refusal's example stands here once, not with each of its hundreds of uses. */
static void
put_schema(struct sl_json_writer *w, const struct schema *schema)
{
	sl_json_key(w, schema->name);
	sl_json_obj(w);
	put(w, "description", schema->text);
	if (strcmp(schema->members, "=object") == 0) {
		put(w, "type", "object");
		sl_json_bool(w, "additionalProperties", true);
	} else if (*schema->members == '=') {
		sl_json_key(w, "allOf");
		sl_json_arr(w);
		admin_openapi_type(w, sl_slice_str(schema->members + 1));
		sl_json_arr_end(w);
	} else {
		put(w, "type", "object");
		admin_openapi_members(w, sl_slice_str(schema->members));
	}
	if (is_refusal(schema)) {
		sl_json_key(w, "examples");
		sl_json_arr(w);
		sl_json_put_raw(w, sl_slice_str(schema->example));
		sl_json_arr_end(w);
	}
	sl_json_obj_end(w);
}

static void
put_components(struct sl_json_writer *w)
{
	static const char schemes[] =
	    "{\"masterKey\":{\"type\":\"http\",\"scheme\":\"bearer\",\"description\":\"admin.master_key\"},"
	    "\"virtualKey\":{\"type\":\"http\",\"scheme\":\"bearer\",\"description\":\"A key of this "
	    "gateway\"},"
	    "\"apiKey\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"x-api-key\"},"
	    "\"googApiKey\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"x-goog-api-key\"}}";

	sl_json_key(w, "components");
	sl_json_obj(w);
	sl_json_key(w, "schemas");
	sl_json_obj(w);
	for (size_t i = 0; i < SCHEMA_COUNT; i++)
		put_schema(w, &schemas[i]);
	sl_json_obj_end(w);
	sl_json_key(w, "securitySchemes");
	sl_json_put_raw(w, SL_SLICE(schemes));
	sl_json_obj_end(w);
}

void
admin_openapi_write(struct sl_buf *out)
{
	struct routes routes;
	struct sl_json_writer w;

	collect(&routes);
	sl_json_writer_init(&w, out);
	sl_json_obj(&w);
	put(&w, "openapi", "3.1.0");
	sl_json_key(&w, "info");
	sl_json_obj(&w);
	put(&w, "title", "Sluice");
	put(&w, "version", "1");
	put(&w, "description",
	    "An AI gateway: the APIs of OpenAI, Anthropic, Gemini and Bedrock for any provider, "
	    "with keys, budgets and routing. Money is a number of US dollars with at most nine "
	    "decimal places. GET answers HEAD too. x-aliases are other names of a path. This "
	    "document is served at /openapi.json and needs no key.");
	sl_json_key(&w, "license");
	sl_json_obj(&w);
	put(&w, "name", "Apache-2.0");
	put(&w, "identifier", "Apache-2.0");
	sl_json_obj_end(&w);
	sl_json_obj_end(&w);
	sl_json_key(&w, "servers");
	sl_json_arr(&w);
	sl_json_obj(&w);
	put(&w, "url", "/");
	sl_json_obj_end(&w);
	sl_json_arr_end(&w);
	put_tags(&w);
	put_paths(&w, &routes);
	put_components(&w);
	sl_json_obj_end(&w);
}

void
admin_openapi(struct admin_call *call)
{
	struct sl_buf body;

	sl_buf_init(&body, DOCUMENT_MAX);
	admin_openapi_write(&body);
	admin_answer_json(call, 200, &body);
}
