/* config_special.c - the few options with a shape of their own: lists of
 * texts, addresses, header fields and prices. */
#include "app/config_loader.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "model/price.h"

void
sl_loader_strings(struct sl_loader *loader, struct sl_config_strings *out, yaml_node_t *node)
{
	struct sl_config_scalar scalar;
	size_t count = 1;

	if (node->type == YAML_MAPPING_NODE) {
		sl_loader_wrong_type(loader, node, sl_option_type_wanted(SL_OPTION_STRINGS));
		return;
	}
	if (node->type == YAML_SEQUENCE_NODE)
		count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	out->items = SL_ARENA_ARRAY(loader->arena, struct sl_slice, count ? count : 1);
	if (!out->items) {
		loader->out_of_memory = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		yaml_node_t *item = node;

		/* A single text is a list of one. */
		if (node->type == YAML_SEQUENCE_NODE)
			item = yaml_document_get_node(loader->document,
			                              node->data.sequence.items.start[i]);
		if (!sl_loader_enter(loader, item))
			return;
		if (!sl_loader_scalar(loader, item, "text", &scalar)) {
			sl_loader_leave(loader);
			continue;
		}
		/* Alone, an empty text is an empty list: ${NAME:-} may stand there. */
		if (!scalar.text.len && node->type == YAML_SEQUENCE_NODE)
			sl_config_error(loader->report, scalar.mark,
			                "%s holds an empty text — give it a value, or remove it from "
			                "the list", loader->path);
		else if (scalar.text.len && sl_loader_is_text(loader, &scalar)) {
			sl_loader_place(loader, &out->items[out->count], false, scalar.mark);
			out->items[out->count++] = scalar.text;
		}
		sl_loader_leave(loader);
	}
}

/* --- listen ------------------------------------------------------------------ */

static bool
parse_port(struct sl_slice text, uint16_t *port)
{
	int64_t value;

	if (!sl_slice_i64(text, &value) || value < 0 || value > 65535)
		return false;
	*port = (uint16_t)value;
	return true;
}

static bool
is_ip(struct sl_slice host)
{
	unsigned char raw[16];
	char text[64];

	if (host.len == 0 || host.len >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", SL_ARG(host));
	return inet_pton(AF_INET, text, raw) == 1 || inet_pton(AF_INET6, text, raw) == 1;
}

bool
sl_config_parse_address(struct sl_slice text, struct sl_slice *host, uint16_t *port)
{
	ptrdiff_t colon = -1;

	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] == ':')
			colon = (ptrdiff_t)i;
	if (colon < 0) {
		/* A port alone is for this machine only. */
		*host = SL_SLICE("127.0.0.1");
		return parse_port(text, port);
	}
	if (!parse_port(sl_slice_from(text, (size_t)colon + 1), port))
		return false;
	*host = sl_slice_upto(text, (size_t)colon);
	if (host->len > 2 && host->ptr[0] == '[' && host->ptr[host->len - 1] == ']')
		*host = sl_slice_make(host->ptr + 1, host->len - 2);
	else if (sl_slice_find(*host, ':') >= 0)
		return false; /* IPv6 without brackets: which colon is the port's? */
	if (sl_slice_is(*host, "localhost"))
		*host = SL_SLICE("127.0.0.1");
	return is_ip(*host);
}

static void
set_address(struct sl_loader *loader, struct sl_config_listen *listen, yaml_node_t *node)
{
	struct sl_config_scalar scalar;

	if (!sl_loader_scalar(loader, node, "an address such as 127.0.0.1:8080", &scalar))
		return;
	if (!sl_config_parse_address(scalar.text, &listen->host, &listen->port))
		sl_config_error(loader->report, scalar.mark,
		                "%s is not an address — write IP:PORT, such as 127.0.0.1:8080, "
		                "0.0.0.0:8080 or [::1]:8080",
		                loader->path);
}

static void
listen_mapping(struct sl_loader *loader, struct sl_config_listen *listen, yaml_node_t *node)
{
	const struct sl_option_section *root = sl_options_root();
	const struct sl_option_section *tls = NULL;
	bool addressed = false;

	for (size_t i = 0; i < root->count; i++)
		if (root->options[i].type == SL_OPTION_LISTEN)
			tls = root->options[i].section;
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		yaml_node_t *value = yaml_document_get_node(loader->document, pair->value);
		struct sl_config_mark mark;
		struct sl_slice key;
		size_t length;

		if (!sl_loader_key(loader, node, pair, &key, &mark))
			continue;
		length = sl_loader_push(loader, key);
		if (sl_slice_is(key, "address")) {
			addressed = true;
			set_address(loader, listen, value);
		} else if (sl_slice_is(key, "tls")) {
			if (!sl_loader_is_null(value))
				sl_loader_section(loader, tls, listen, value);
		} else {
			sl_config_error(loader->report, mark,
			                "unknown option %s — known here: address, tls",
			                loader->path);
		}
		sl_loader_pop(loader, length);
	}
	if (!addressed)
		sl_config_error(loader->report, sl_loader_mark(node),
		                "%s has no address — add `address: 127.0.0.1:8080`", loader->path);
}

void
sl_loader_default_listen(struct sl_loader *loader)
{
	struct sl_config *config = loader->config;

	if (config->listen_count > 0)
		return;
	config->listen = SL_ARENA_NEW(loader->arena, struct sl_config_listen);
	if (!config->listen) {
		loader->out_of_memory = true;
		return;
	}
	config->listen[0] = (struct sl_config_listen){ .host = SL_SLICE("127.0.0.1"),
		                                       .port = 8080,
		                                       .inherits_tls = true };
	config->listen_count = 1;
}

void
sl_loader_listen(struct sl_loader *loader, yaml_node_t *node)
{
	struct sl_config *config = loader->config;
	size_t count = 1;

	if (node->type == YAML_SEQUENCE_NODE)
		count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	config->listen = SL_ARENA_ARRAY(loader->arena, struct sl_config_listen, count ? count : 1);
	if (!config->listen) {
		loader->out_of_memory = true;
		return;
	}
	for (size_t i = 0; i < count; i++) {
		struct sl_config_listen *listen = &config->listen[i];
		yaml_node_t *item = node;

		if (node->type == YAML_SEQUENCE_NODE)
			item = yaml_document_get_node(loader->document,
			                              node->data.sequence.items.start[i]);
		if (!sl_loader_enter(loader, item))
			return;
		sl_loader_place(loader, listen, true, sl_loader_mark(item));
		config->listen_count = i + 1;
		if (item->type == YAML_MAPPING_NODE) {
			listen_mapping(loader, listen, item);
		} else {
			/* `tls` beside `listen` may be read later: it is filled in then. */
			listen->inherits_tls = true;
			set_address(loader, listen, item);
		}
		sl_loader_leave(loader);
	}
}

/* --- headers ------------------------------------------------------------------ */

static bool
is_header_name(struct sl_slice name)
{
	for (size_t i = 0; i < name.len; i++) {
		char c = name.ptr[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return name.len > 0;
}

/* Fields the wire writes itself, and the two that carry credentials, which have
 * options of their own that keep them out of logs. */
static const char *
reserved_header(const char *name)
{
	static const char *const wire[] = { "host", "content-length", "transfer-encoding",
		                            "connection", "te", "upgrade", "keep-alive", "trailer" };

	for (size_t i = 0; i < sizeof(wire) / sizeof(wire[0]); i++)
		if (strcmp(name, wire[i]) == 0)
			return "it is written by Sluice itself";
	if (strcmp(name, "authorization") == 0)
		return "use api_key and auth";
	return NULL;
}

void
sl_loader_headers(struct sl_loader *loader, struct sl_config_provider *provider,
                  yaml_node_t *node)
{
	size_t room;

	if (node->type != YAML_MAPPING_NODE) {
		sl_loader_wrong_type(loader, node, sl_option_type_wanted(SL_OPTION_HEADERS));
		return;
	}
	room = (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
	provider->headers = SL_ARENA_ARRAY(loader->arena, struct sl_config_header, room ? room : 1);
	if (!provider->headers) {
		loader->out_of_memory = true;
		return;
	}
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		struct sl_config_header *header = &provider->headers[provider->header_count];
		struct sl_config_scalar scalar;
		struct sl_config_mark mark;
		struct sl_slice key;
		const char *reason;
		size_t length;
		char *name;

		if (!sl_loader_key(loader, node, pair, &key, &mark))
			continue;
		name = sl_arena_strdup(loader->arena, key);
		if (!name) {
			loader->out_of_memory = true;
			return;
		}
		for (char *c = name; *c; c++)
			if (*c >= 'A' && *c <= 'Z')
				*c = (char)(*c | 0x20);
		reason = is_header_name(key) ? reserved_header(name) : "it is no header name";
		length = sl_loader_push(loader, key);
		if (reason) {
			sl_config_error(loader->report, mark, "%s cannot be set here — %s",
			                loader->path, reason);
		} else if (sl_loader_scalar(loader, yaml_document_get_node(loader->document,
		                                                           pair->value),
		                            "text", &scalar)) {
			bool clean = true;

			for (size_t i = 0; i < scalar.text.len; i++)
				clean = clean && (unsigned char)scalar.text.ptr[i] >= 0x20 &&
				        scalar.text.ptr[i] != 0x7f;
			if (clean) {
				header->name = sl_slice_str(name);
				header->value = sl_slice_trim(scalar.text);
				provider->header_count++;
			} else {
				sl_config_error(loader->report, scalar.mark,
				                "%s holds a line end or control character — "
				                "write it on one line",
				                loader->path);
			}
		}
		sl_loader_pop(loader, length);
	}
}

/* --- prices ------------------------------------------------------------------- */

static struct sl_slice
price_fields(struct sl_loader *loader, yaml_node_t *node)
{
	struct sl_slice kept = SL_SLICE_NONE;
	struct sl_price scratch = { 0 };
	struct sl_buf json;
	int64_t nanousd;

	sl_buf_init(&json, SL_CONFIG_SCALAR_MAX);
	sl_buf_append_char(&json, '{');
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		struct sl_config_scalar scalar;
		struct sl_config_mark mark;
		struct sl_slice key;
		size_t length;

		if (!sl_loader_key(loader, node, pair, &key, &mark))
			continue;
		length = sl_loader_push(loader, key);
		if (sl_price_set(&scratch, key, 0) != SL_OK) {
			sl_config_error(loader->report, mark,
			                "unknown price %s — known are input, output, cache_read, "
			                "cache_write and the others of the catalogue",
			                loader->path);
		} else if (sl_loader_scalar(loader, yaml_document_get_node(loader->document,
		                                                           pair->value),
		                            "a number such as 0.15", &scalar)) {
			/* It becomes JSON, which has no leading zeros. */
			if (sl_config_is_decimal(scalar.text) &&
			    sl_price_parse_usd(scalar.text, &nanousd))
				sl_buf_printf(&json, "%s\"%.*s\":%.*s", json.len > 1 ? "," : "",
				              SL_ARG(key), SL_ARG(scalar.text));
			else
				sl_config_error(loader->report, scalar.mark,
				                "%s is not a price — write US dollars per "
				                "million tokens, such as 0.15",
				                loader->path);
		}
		sl_loader_pop(loader, length);
	}
	sl_buf_append_char(&json, '}');
	if (!json.failed)
		kept = sl_arena_dup(loader->arena, sl_buf_slice(&json));
	loader->out_of_memory |= !kept.ptr;
	sl_buf_release(&json);
	return kept;
}

void
sl_loader_prices(struct sl_loader *loader, yaml_node_t *node)
{
	struct sl_config *config = loader->config;
	size_t room;

	if (node->type != YAML_MAPPING_NODE) {
		sl_loader_wrong_type(loader, node, sl_option_type_wanted(SL_OPTION_PRICES));
		return;
	}
	room = (size_t)(node->data.mapping.pairs.top - node->data.mapping.pairs.start);
	config->prices = SL_ARENA_ARRAY(loader->arena, struct sl_config_price, room ? room : 1);
	if (!config->prices) {
		loader->out_of_memory = true;
		return;
	}
	for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
	     pair < node->data.mapping.pairs.top; pair++) {
		yaml_node_t *value = yaml_document_get_node(loader->document, pair->value);
		struct sl_config_price *price = &config->prices[config->price_count];
		struct sl_config_mark mark;
		struct sl_slice key, rest;
		size_t length;

		if (!sl_loader_key(loader, node, pair, &key, &mark))
			continue;
		length = sl_loader_push(loader, key);
		rest = sl_arena_dup(loader->arena, key);
		price->provider = sl_slice_cut(&rest, '/');
		price->model = rest;
		if (!price->provider.len || !price->model.len) {
			sl_config_error(loader->report, mark,
			                "%s is not provider/model — write it as openai/gpt-4o",
			                loader->path);
		} else if (value->type != YAML_MAPPING_NODE) {
			sl_loader_wrong_type(loader, value,
			                     "a mapping such as {input: 2.5, output: 10}");
		} else if (sl_loader_enter(loader, value)) {
			price->fields = price_fields(loader, value);
			sl_loader_place(loader, price, true, mark);
			config->price_count++;
			sl_loader_leave(loader);
		}
		sl_loader_pop(loader, length);
	}
}
