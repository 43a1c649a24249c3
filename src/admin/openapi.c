/* openapi.c - GET /openapi.json, made from the route tables.
 *
 * Which operations there are and who may call them comes from the tables that answer
 * them: the admin room's, the shapes', the contracts' pages. openapi.def adds what
 * people want to read.
 */
#include "admin/openapi.h"

#include <stdio.h>
#include <string.h>

#include "admin/call.h"
#include "shapes/shape.h"
#include "surfaces/surface.h"

enum { ROUTES_MAX = 128, PATH_MAX_SIZE = 96, DOCUMENT_MAX = 1 << 20 };

struct route {
	const char     *method;
	char            path[PATH_MAX_SIZE];
	enum admin_role role;
};

struct routes {
	struct route items[ROUTES_MAX];
	size_t       count;
};

static const struct operation {
	const char *method, *path, *id, *tag, *summary, *request, *reply;
	int         status;
} operations[] = {
#define SL_OPERATION(method, path, id, tag, summary, request, reply, status)          \
	{ method, path, id, tag, summary, request, reply, status },
#include "admin/openapi.def"
#undef SL_OPERATION
};
enum { OPERATION_COUNT = sizeof(operations) / sizeof(operations[0]) };

static const struct schema {
	const char *name, *text, *example;
} schemas[] = {
#define SL_SCHEMA(name, text, example) { name, text, example },
#include "admin/openapi_schemas.def"
#undef SL_SCHEMA
};
enum { SCHEMA_COUNT = sizeof(schemas) / sizeof(schemas[0]) };

/* --- which operations there are ------------------------------------------------ */

static void
add(struct routes *routes, const char *method, const char *path, enum admin_role role)
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
	add(routes, row->method, path, row->role);
}

static void
add_pages(struct routes *routes, const struct sl_surface_ops *surface)
{
	for (const struct sl_surface_page *page = surface->pages; page && page->pattern; page++) {
		char path[PATH_MAX_SIZE];
		size_t len = strlen(page->pattern);

		snprintf(path, sizeof(path), "%s%s", page->pattern,
		         page->pattern[len - 1] == '/' ? "{id}" : "");
		add(routes, page->method, path, page->open ? ADMIN_ROLE_NONE : ADMIN_ROLE_KEY);
	}
}

static void
collect(struct routes *routes)
{
	static const struct sl_surface_ops *const surfaces[] = {
#define SL_SURFACE(id) &sl_surface_##id,
#include "surfaces/surfaces.def"
#undef SL_SURFACE
	};

	routes->count = 0;
	for (size_t i = 0; i < admin_route_count; i++)
		add_admin(routes, &admin_routes[i]);
	for (size_t i = 0; i < sl_shape_count(); i++)
		for (const struct sl_shape_path *row = sl_shape_at(i)->paths; row->pattern; row++)
			/* Gemini's SDK has a second name for each of its paths. */
			if (strncmp(row->pattern, "/v1/models/", 11) != 0)
				add(routes, "POST", row->pattern, ADMIN_ROLE_KEY);
	for (size_t i = 0; i < sizeof(surfaces) / sizeof(surfaces[0]); i++)
		add_pages(routes, surfaces[i]);
	/* What the pipeline answers without a table. */
	add(routes, "GET", "/v1/models", ADMIN_ROLE_KEY);
	add(routes, "POST", "/v1/estimate", ADMIN_ROLE_KEY);
	add(routes, "POST", "/api/v1", ADMIN_ROLE_KEY);
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

const char *
admin_openapi_gap(void)
{
	static struct routes routes;

	collect(&routes);
	for (size_t i = 0; i < routes.count; i++)
		if (!describe(&routes.items[i]))
			return routes.items[i].path;
	for (size_t i = 0; i < OPERATION_COUNT; i++) {
		bool found = false;

		for (size_t k = 0; k < routes.count && !found; k++)
			found = describe(&routes.items[k]) == &operations[i];
		if (!found)
			return operations[i].path;
	}
	return NULL;
}

/* --- the document --------------------------------------------------------------- */

static void
put(struct sl_json_writer *w, const char *name, const char *text)
{
	sl_json_str(w, name, sl_slice_str(text));
}

static void
put_reference(struct sl_json_writer *w, const char *schema)
{
	char text[96];

	snprintf(text, sizeof(text), "#/components/schemas/%s", schema);
	sl_json_key(w, "schema");
	sl_json_obj(w);
	put(w, "$ref", text);
	sl_json_obj_end(w);
}

static void
put_body(struct sl_json_writer *w, const char *media, const char *schema)
{
	sl_json_key(w, "content");
	sl_json_obj(w);
	sl_json_key(w, media);
	sl_json_obj(w);
	if (strchr(schema, '/')) {
		sl_json_key(w, "schema");
		sl_json_obj(w);
		put(w, "type", "string");
		sl_json_obj_end(w);
	} else {
		put_reference(w, schema);
		for (size_t i = 0; i < SCHEMA_COUNT; i++)
			if (strcmp(schemas[i].name, schema) == 0) {
				sl_json_key(w, "example");
				sl_json_put_raw(w, sl_slice_str(schemas[i].example));
			}
	}
	sl_json_obj_end(w);
	sl_json_obj_end(w);
}

static void
put_parameters(struct sl_json_writer *w, const char *path)
{
	const char *open = strchr(path, '{');

	if (!open)
		return;
	sl_json_key(w, "parameters");
	sl_json_arr(w);
	for (; open; open = strchr(open + 1, '{')) {
		const char *close = strchr(open, '}');

		sl_json_obj(w);
		sl_json_str(w, "name", sl_slice_make(open + 1, (size_t)(close - open - 1)));
		put(w, "in", "path");
		sl_json_bool(w, "required", true);
		sl_json_key(w, "schema");
		sl_json_obj(w);
		put(w, "type", "string");
		sl_json_obj_end(w);
		sl_json_obj_end(w);
	}
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

static void
put_reply(struct sl_json_writer *w, const char *status, const char *text, const char *reply)
{
	sl_json_key(w, status);
	sl_json_obj(w);
	put(w, "description", text);
	if (*reply)
		put_body(w, strchr(reply, '/') ? reply : "application/json", reply);
	sl_json_obj_end(w);
}

static void
put_operation(struct sl_json_writer *w, const struct route *route, const struct operation *told)
{
	char status[12], method[8] = "";
	const char *form = "TranscriptionForm";

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
	put_parameters(w, route->path);
	if (*told->request) {
		sl_json_key(w, "requestBody");
		sl_json_obj(w);
		sl_json_bool(w, "required", true);
		put_body(w, strcmp(told->request, form) == 0 ? "multipart/form-data"
		                                             : "application/json", told->request);
		sl_json_obj_end(w);
	}
	sl_json_key(w, "responses");
	sl_json_obj(w);
	snprintf(status, sizeof(status), "%d", told->status);
	put_reply(w, status, told->summary, told->reply);
	put_reply(w, "4XX", "A refusal, in the envelope of the API or contract that was called.",
	          "Error");
	sl_json_obj_end(w);
	sl_json_obj_end(w);
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
	for (size_t i = 0; i < OPERATION_COUNT; i++) {
		bool seen = false;

		for (size_t k = 0; k < i && !seen; k++)
			seen = strcmp(operations[k].tag, operations[i].tag) == 0;
		if (seen)
			continue;
		sl_json_obj(w);
		put(w, "name", operations[i].tag);
		sl_json_obj_end(w);
	}
	sl_json_arr_end(w);
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
	for (size_t i = 0; i < SCHEMA_COUNT; i++) {
		sl_json_key(w, schemas[i].name);
		sl_json_put_raw(w, sl_slice_str(schemas[i].text));
	}
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
	put(&w, "description", "An AI gateway: the APIs of OpenAI, Anthropic and Gemini for any "
	                       "provider, with keys, budgets and routing.");
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
