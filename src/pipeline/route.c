/* route.c - the instructions of a named endpoint.
 *
 * Where a route leads is the plan's business. Its instructions are put in front of the
 * conversation before anybody looks at it, so that what is classified, counted and
 * translated is what will be sent. An unknown route is the plan's to refuse.
 */
#include "pipeline/route.h"

#include "pipeline/ask.h"

enum { MESSAGE_MAX_SIZE = 1024 * 1024 };

static const struct sl_config_route *
find(const struct sl_config *config, struct sl_slice name)
{
	for (size_t i = 0; i < config->route_count; i++)
		if (sl_slice_eq(config->routes[i].name, name))
			return &config->routes[i];
	return NULL;
}

/* {"role":"system","content":"..."} on the arena; no bytes when memory is out. */
static struct sl_slice
message_of(struct sl_slice system, struct sl_arena *arena)
{
	struct sl_json_writer w;
	struct sl_slice text;
	struct sl_buf buf;

	sl_buf_init(&buf, MESSAGE_MAX_SIZE);
	sl_json_writer_init(&w, &buf);
	sl_json_obj(&w);
	sl_json_str(&w, "role", SL_SLICE("system"));
	sl_json_str(&w, "content", system);
	sl_json_obj_end(&w);
	text = buf.failed ? SL_SLICE_NONE : sl_arena_dup(arena, sl_buf_slice(&buf));
	sl_buf_release(&buf);
	return text;
}

/* A body that is no chat request is left to its shape, which says what is wrong. */
static bool
instruct(const struct sl_shape_ops *shape, struct sl_slice system, struct sl_arena *arena,
         struct sl_shape_input *input, struct sl_fault *fault)
{
	static const struct sl_json_want want = { "messages" };
	struct sl_slice body = input->body, parts[4];
	struct sl_json_found messages;
	size_t inside;

	if (shape != &sl_shape_openai_chat) {
		sl_fault_set(fault, SL_FAULT_UNSUPPORTED,
		             SL_SLICE("This route has instructions of its own and takes chat "
		                      "completions only."));
		return false;
	}
	if (sl_json_scan(body, NULL, &want, 1, &messages, NULL, NULL) != SL_OK ||
	    messages.type != SL_JSON_ARRAY)
		return true;
	inside = messages.value_start + 1;
	parts[0] = sl_slice_upto(body, inside);
	parts[1] = message_of(system, arena);
	parts[2] = sl_slice_trim(sl_slice_make(body.ptr + inside,
	                                       messages.value_end - 1 - inside)).len > 0
	               ? SL_SLICE(",") : SL_SLICE_NONE;
	parts[3] = sl_slice_from(body, inside);
	input->body = sl_arena_join(arena, parts, 4);
	if (parts[1].len > 0 && input->body.ptr)
		return true;
	sl_fault_set_memory(fault);
	return false;
}

bool
sl_route_instruct(const struct sl_config *config, struct sl_slice name,
                  const struct sl_shape_ops *shape, struct sl_arena *arena,
                  struct sl_shape_input *input, struct sl_steer *steer, struct sl_fault *fault)
{
	const struct sl_config_route *route = name.len > 0 ? find(config, name) : NULL;

	if (!route || route->system.len == 0)
		return true;
	return instruct(shape, route->system, arena, input, fault) &&
	       shape->read_request(input, arena, steer, fault);
}

bool
sl_route_apply(struct sl_ask *ask, struct sl_fault *fault)
{
	return sl_route_instruct(ask->world->config, ask->head->selection.wish.route, ask->shape,
	                         &ask->front->arena, &ask->head->input, &ask->front->steer, fault);
}
