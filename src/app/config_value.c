/* config_value.c - one scalar: substitution, types, ranges.
 *
 * ${NAME} reads the environment, ${NAME:-default} has a default (also for an
 * empty variable, as in a shell), ${file:PATH} reads a file without its last
 * line ends, $$ is a dollar sign. What was substituted is never shown in a
 * message: it may be a secret in the wrong place.
 */
#include "app/config_loader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "model/price.h"
#include "providers/provider.h"

enum { SHOWN_MAX = 60 }; /* bytes of a value in a message */

struct sl_slice
sl_loader_resolve(struct sl_loader *loader, struct sl_slice path)
{
	if (path.len == 0 || path.ptr[0] == '/' || loader->directory.len == 0)
		return path;
	path = sl_arena_printf(loader->arena, "%.*s%.*s", SL_ARG(loader->directory), SL_ARG(path));
	if (!path.ptr)
		loader->out_of_memory = true;
	return path;
}

/* --- substitution ------------------------------------------------------------ */

static bool
is_name(struct sl_slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
		      (i > 0 && c >= '0' && c <= '9')))
			return false;
	}
	return text.len > 0;
}

static bool
append_file(struct sl_loader *loader, struct sl_slice path, struct sl_config_mark mark,
            struct sl_buf *out)
{
	struct sl_slice resolved = sl_loader_resolve(loader, path);
	char *name = sl_arena_strdup(loader->arena, resolved);
	size_t before = out->len;
	ssize_t got = 0;
	int fd;

	if (!name) {
		loader->out_of_memory = true;
		return false;
	}
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		sl_config_error(loader->report, mark, "%s wants the file %s, which cannot be read: %s — "
		                "check the path and its permissions", loader->path, name,
		                strerror(errno));
		return false;
	}
	while (sl_buf_reserve(out, 4096) == SL_OK &&
	       (got = read(fd, out->ptr + out->len, 4096)) > 0)
		out->len += (size_t)got;
	if (out->failed)
		sl_config_error(loader->report, mark, "%s wants the file %s, which is larger than %d "
		                "bytes — is it the right file?", loader->path, name, SL_CONFIG_SCALAR_MAX - 4096);
	else if (got < 0)
		sl_config_error(loader->report, mark, "%s wants the file %s, which cannot be read: %s — "
		                "name an ordinary file", loader->path, name, strerror(errno));
	close(fd);
	if (out->failed || got < 0)
		return false;
	while (out->len > before && (out->ptr[out->len - 1] == '\n' ||
	                             out->ptr[out->len - 1] == '\r'))
		out->len--;
	return true;
}

/* `inside` is what stands between ${ and }. */
static bool
append_reference(struct sl_loader *loader, struct sl_slice inside, struct sl_config_mark mark,
                 struct sl_buf *out)
{
	struct sl_slice name = inside, preset = SL_SLICE_NONE;
	ptrdiff_t at = sl_slice_search(inside, SL_SLICE(":-"));
	const char *value;
	char text[256];

	if (sl_slice_starts(inside, SL_SLICE("file:")))
		return append_file(loader, sl_slice_from(inside, 5), mark, out);
	if (at >= 0) {
		name = sl_slice_upto(inside, (size_t)at);
		preset = sl_slice_from(inside, (size_t)at + 2);
	}
	if (!is_name(name) || name.len >= sizeof(text)) {
		sl_config_error(loader->report, mark,
		                "%s holds ${%.*s}, which is not a reference — write ${NAME}, "
		                "${NAME:-default} or ${file:PATH}; $$ is a dollar sign",
		                loader->path, (int)(inside.len > 40 ? 40 : inside.len), inside.ptr);
		return false;
	}
	snprintf(text, sizeof(text), "%.*s", SL_ARG(name));
	value = loader->source->env(text);
	if (at >= 0 && (!value || !*value))
		return sl_buf_append(out, preset) == SL_OK;
	if (!value) {
		sl_config_error(loader->report, mark,
		                "%s wants the environment variable %s, which is not set — set it, "
		                "or write ${%s:-default}",
		                loader->path, text, text);
		return false;
	}
	return sl_buf_append_str(out, value) == SL_OK;
}

static bool
substitute(struct sl_loader *loader, struct sl_config_scalar *scalar)
{
	struct sl_slice rest = scalar->written;
	struct sl_buf out;
	bool ok = true;

	sl_buf_init(&out, SL_CONFIG_SCALAR_MAX);
	while (rest.len && ok) {
		ptrdiff_t dollar = sl_slice_find(rest, '$');
		ptrdiff_t close_at;

		if (dollar < 0 || (size_t)dollar + 1 == rest.len) {
			sl_buf_append(&out, rest);
			break;
		}
		sl_buf_append(&out, sl_slice_upto(rest, (size_t)dollar));
		rest = sl_slice_from(rest, (size_t)dollar);
		if (rest.ptr[1] == '$') {
			sl_buf_append_char(&out, '$');
			rest = sl_slice_from(rest, 2);
			continue;
		}
		if (rest.ptr[1] != '{') {
			sl_buf_append_char(&out, '$');
			rest = sl_slice_from(rest, 1);
			continue;
		}
		close_at = sl_slice_find(rest, '}');
		if (close_at < 0) {
			sl_config_error(loader->report, scalar->mark,
			                "%s holds ${ without } — close it, or write $$ for a dollar sign",
			                loader->path);
			ok = false;
			break;
		}
		scalar->substituted = true;
		ok = append_reference(loader, sl_slice_upto(sl_slice_from(rest, 2),
		                                            (size_t)close_at - 2),
		                      scalar->mark, &out);
		rest = sl_slice_from(rest, (size_t)close_at + 1);
	}
	if (ok && out.failed) {
		sl_config_error(loader->report, scalar->mark, "%s is longer than %d bytes — shorten it",
		                loader->path, SL_CONFIG_SCALAR_MAX);
		ok = false;
	}
	if (ok) {
		scalar->text = sl_arena_dup(loader->arena, sl_buf_slice(&out));
		loader->out_of_memory |= !scalar->text.ptr;
		ok = scalar->text.ptr != NULL;
	}
	if (out.ptr)
		explicit_bzero(out.ptr, out.len);
	sl_buf_release(&out);
	return ok;
}

bool
sl_loader_scalar(struct sl_loader *loader, const yaml_node_t *node, const char *wanted,
                 struct sl_config_scalar *out)
{
	*out = (struct sl_config_scalar){ .mark = sl_loader_mark(node) };
	if (node->type != YAML_SCALAR_NODE) {
		sl_loader_wrong_type(loader, node, wanted);
		return false;
	}
	out->written = sl_slice_make(node->data.scalar.value, node->data.scalar.length);
	return substitute(loader, out);
}

/* --- types -------------------------------------------------------------------- */

/* The value as a message may show it: as written, never as substituted. */
static const char *
shown(const struct sl_config_scalar *scalar, char *out, size_t size)
{
	snprintf(out, size, "%.*s", (int)(scalar->written.len > SHOWN_MAX ? SHOWN_MAX
	                                                                   : scalar->written.len),
	         scalar->written.ptr ? scalar->written.ptr : "");
	return out;
}

bool
sl_config_is_decimal(struct sl_slice text)
{
	struct sl_slice rest = text;
	struct sl_slice whole = sl_slice_cut(&rest, '.');
	bool pointed = whole.len < text.len;

	if (whole.len == 0 || whole.len > 18 || rest.len > 18 || (pointed && rest.len == 0))
		return false;
	/* JSON, where prices go, has no leading zeros. */
	if (whole.len > 1 && whole.ptr[0] == '0')
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] != '.' && (text.ptr[i] < '0' || text.ptr[i] > '9'))
			return false;
	return sl_slice_find(rest, '.') < 0;
}

static void
value_integer(struct sl_loader *loader, const struct sl_option *option, void *field,
              const struct sl_config_scalar *scalar)
{
	char text[SHOWN_MAX + 1];
	int64_t value;

	if (!sl_slice_i64(scalar->text, &value)) {
		sl_config_error(loader->report, scalar->mark,
		                "%s: `%s` is not a whole number — write digits only, for example %s",
		                loader->path, shown(scalar, text, sizeof(text)),
		                option->fallback ? option->fallback : "1");
	} else if (value < option->min || value > option->max) {
		sl_config_error(loader->report, scalar->mark,
		                "%s: `%s` is out of range — give %lld to %lld", loader->path,
		                shown(scalar, text, sizeof(text)), (long long)option->min,
		                (long long)option->max);
	} else if (option->type == SL_OPTION_UINT) {
		*(uint64_t *)field = (uint64_t)value;
	} else {
		*(int64_t *)field = value;
	}
}

static void
value_number(struct sl_loader *loader, const struct sl_option *option, void *field,
             const struct sl_config_scalar *scalar)
{
	char text[SHOWN_MAX + 1];
	double value;

	/* The arena's copy ends in NUL; defaults are literals. */
	if (!sl_config_is_decimal(scalar->text)) {
		sl_config_error(loader->report, scalar->mark,
		                "%s: `%s` is not a number — write it as 0.8", loader->path,
		                shown(scalar, text, sizeof(text)));
		return;
	}
	value = strtod(scalar->text.ptr, NULL);
	if (value * 1000.0 < (double)option->min || value * 1000.0 > (double)option->max)
		sl_config_error(loader->report, scalar->mark,
		                "%s: `%s` is out of range — give %g to %g", loader->path,
		                shown(scalar, text, sizeof(text)), (double)option->min / 1000.0,
		                (double)option->max / 1000.0);
	else
		*(double *)field = value;
}

static void
value_choice(struct sl_loader *loader, const struct sl_option *option, void *field,
             const struct sl_config_scalar *scalar)
{
	struct sl_slice rest = sl_slice_str(option->choices);
	char text[SHOWN_MAX + 1];

	/* A choice without a list is checked against what is registered, later. */
	if (!option->choices) {
		*(struct sl_slice *)field = scalar->text;
		return;
	}
	while (rest.len)
		if (sl_slice_eq(sl_slice_cut(&rest, '|'), scalar->text)) {
			*(struct sl_slice *)field = scalar->text;
			return;
		}
	sl_config_error(loader->report, scalar->mark, "%s: `%s` is not a choice — give one of %s",
	                loader->path, shown(scalar, text, sizeof(text)), option->choices);
}

static void
value_secret(struct sl_loader *loader, void *field, const struct sl_config_scalar *scalar)
{
	struct sl_slice text = sl_slice_trim(scalar->text);

	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] <= 0x20 || text.ptr[i] == 0x7f) {
			sl_config_error(loader->report, scalar->mark,
			                "%s holds a space, line end or control character — give the "
			                "credential alone",
			                loader->path);
			return;
		}
	if (sl_secret_set(field, text) != SL_OK)
		loader->out_of_memory = true;
	/* The arena keeps no second copy. */
	if (scalar->text.len)
		explicit_bzero((char *)(uintptr_t)scalar->text.ptr, scalar->text.len);
}

bool
sl_loader_is_text(struct sl_loader *loader, const struct sl_config_scalar *scalar)
{
	for (size_t i = 0; i < scalar->text.len; i++) {
		unsigned char c = (unsigned char)scalar->text.ptr[i];

		if ((c >= ' ' && c != 0x7f) || c == '\n' || c == '\t')
			continue;
		sl_config_error(loader->report, scalar->mark,
		                "%s holds a control character — remove it", loader->path);
		return false;
	}
	return true;
}

static bool
is_token(struct sl_slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.ptr[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_'))
			return false;
	}
	return text.len > 0;
}

static struct sl_slice
lower_copy(struct sl_loader *loader, struct sl_slice text)
{
	char *copy = sl_arena_strdup(loader->arena, text);

	if (!copy) {
		loader->out_of_memory = true;
		return SL_SLICE_NONE;
	}
	for (size_t i = 0; i < text.len; i++)
		if (copy[i] >= 'A' && copy[i] <= 'Z')
			copy[i] = (char)(copy[i] | 0x20);
	return sl_slice_make(copy, text.len);
}

static void
value_auth(struct sl_loader *loader, enum sl_auth_mode *mode, struct sl_slice *header,
           const struct sl_config_scalar *scalar)
{
	char text[SHOWN_MAX + 1];

	if (sl_slice_is(scalar->text, "none")) {
		*mode = SL_AUTH_NONE;
	} else if (sl_slice_is(scalar->text, "bearer")) {
		*mode = SL_AUTH_BEARER;
	} else if (sl_slice_is(scalar->text, "passthrough")) {
		*mode = SL_AUTH_PASSTHROUGH;
	} else if (sl_slice_starts(scalar->text, SL_SLICE("header:")) &&
	           is_token(sl_slice_from(scalar->text, 7))) {
		*mode = SL_AUTH_HEADER;
		*header = lower_copy(loader, sl_slice_from(scalar->text, 7));
	} else {
		sl_config_error(loader->report, scalar->mark,
		                "%s: `%s` is not a way to authenticate — give none, bearer, "
		                "passthrough or header:NAME",
		                loader->path, shown(scalar, text, sizeof(text)));
	}
}

void
sl_loader_value(struct sl_loader *loader, const struct sl_option *option, void *base,
                const struct sl_config_scalar *scalar)
{
	void *field = (char *)base + option->offset;
	char text[SHOWN_MAX + 1];
	struct sl_url url;

	switch (option->type) {
	case SL_OPTION_BOOL:
		if (sl_slice_is(scalar->text, "true") || sl_slice_is(scalar->text, "false"))
			*(bool *)field = sl_slice_is(scalar->text, "true");
		else
			sl_config_error(loader->report, scalar->mark,
			                "%s: `%s` is not true or false — write one of them",
			                loader->path, shown(scalar, text, sizeof(text)));
		return;
	case SL_OPTION_UINT:
	case SL_OPTION_INT:
		value_integer(loader, option, field, scalar);
		return;
	case SL_OPTION_NUMBER:
		value_number(loader, option, field, scalar);
		return;
	case SL_OPTION_USD:
		if (!sl_price_parse_usd(scalar->text, field))
			sl_config_error(loader->report, scalar->mark,
			                "%s: `%s` is not an amount of US dollars — write it as 1.50, "
			                "with at most nine decimal places",
			                loader->path, shown(scalar, text, sizeof(text)));
		return;
	case SL_OPTION_SECRET:
		value_secret(loader, field, scalar);
		return;
	case SL_OPTION_CHOICE:
		value_choice(loader, option, field, scalar);
		return;
	case SL_OPTION_PATH:
		*(struct sl_slice *)field = sl_loader_resolve(loader, scalar->text);
		return;
	case SL_OPTION_AUTH:
		value_auth(loader, field, (void *)((char *)base + option->count_offset), scalar);
		return;
	case SL_OPTION_URL:
		if (scalar->text.len && sl_url_parse(scalar->text, &url) != SL_OK)
			sl_config_error(loader->report, scalar->mark,
			                "%s is not usable — write https://HOST[:PORT][/PATH] without "
			                "user, password or #", loader->path);
		*(struct sl_slice *)field = scalar->text;
		return;
	default: /* TEXT: as it is; what it means is checked with the whole */
		if (option->required && !scalar->text.len)
			sl_config_error(loader->report, scalar->mark, "%s is empty — give a value",
			                loader->path);
		else if (sl_loader_is_text(loader, scalar))
			*(struct sl_slice *)field = scalar->text;
		return;
	}
}
