/* resolve.c - c-ares on our loop, and a small memory of answers.
 *
 * An entry is a name: asked, answered or failed. Those who want an entry that
 * is being asked line up on it; the answer goes to all of them.
 *
 *   (none) --start--> ASKED --answer--> KNOWN --expires--> (none)
 *                       '-----failure--> FAILED --2 s-----> (none)
 *
 * Both kinds of address are asked for at once. Addresses of one kind are enough
 * when the other kind has not come a moment later: there are name servers that
 * never answer for IPv6. What comes after that is added for the next caller.
 *
 * c-ares tells which sockets it watches and when it wants to be called; both
 * are mapped to the loop. The channel is made anew when /etc/resolv.conf
 * changed (a laptop moved to another network), looked at every few seconds at
 * most and only while nothing is being asked.
 */
#include "net/resolve.h"

#include <ares.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "net/dial.h"

enum {
	ENTRY_MAX = 256,
	SOCKET_MAX = 32,         /* c-ares: UDP and TCP per server and family */
	TTL_MAX_MS = 30000,
	TTL_MIN_MS = 1000,       /* a TTL of 0 must not mean a query per request */
	NEGATIVE_MS = 2000,
	QUERY_TIMEOUT_MS = 2000, /* first try; c-ares doubles it */
	QUERY_TRIES = 3,
	CONFIG_CHECK_MS = 5000,
	GRACE_MS = 50,           /* for the other kind of address; RFC 8305, 3 */
	HOST_MAX = 253,          /* RFC 1035 */
};

/* As c-ares reads it; empty: /etc/resolv.conf. Written before the loops run. */
static char servers_text[SL_RESOLVE_SERVERS_MAX * (INET6_ADDRSTRLEN + sizeof("[]:65535,"))];

enum entry_state { ENTRY_ASKED, ENTRY_KNOWN, ENTRY_FAILED };

struct entry {
	struct sl_list      node;    /* resolver->entries, newest first */
	struct sl_list      waiting; /* of struct sl_resolve */
	struct sl_resolver *resolver;
	enum entry_state    state;
	bool                telling; /* its waiters are being called: not to be freed */
	uint8_t             pending; /* questions that are not answered: not to be freed */
	int                 failure; /* of c-ares; the one that says most */
	struct sl_timer     grace;   /* runs while one kind of address is there */
	uint64_t            ttl_ms;  /* of the address that expires first */
	enum sl_err         err;
	const char         *detail;
	uint64_t            due_ms;
	size_t              count;
	union sl_address    addresses[SL_RESOLVE_MAX];
	char                host[HOST_MAX + 1];
};

struct socket_watch {
	struct sl_io        io; /* fd -1: free */
	struct sl_resolver *resolver;
};

struct sl_resolver {
	struct sl_loop     *loop;
	ares_channel        channel;
	bool                has_channel;
	struct timespec     config_mtime;
	uint64_t            config_checked_ms;
	struct sl_timer     timer;
	struct sl_list      entries;
	size_t              entry_count;
	size_t              asked_count;
	struct socket_watch sockets[SOCKET_MAX];
};

/* --- c-ares and the loop ------------------------------------------------------ */

static void
arm_timer(struct sl_resolver *resolver)
{
	struct timeval most = { .tv_sec = 10 }, left;

	if (resolver->asked_count == 0) {
		sl_timer_clear(&resolver->timer);
		return;
	}
	ares_timeout(resolver->channel, &most, &left);
	sl_timer_set(resolver->loop, &resolver->timer,
	             (uint64_t)left.tv_sec * 1000 + (uint64_t)left.tv_usec / 1000 + 1);
}

static void
on_timer(struct sl_timer *timer)
{
	struct sl_resolver *resolver = SL_CONTAINER(timer, struct sl_resolver, timer);

	ares_process_fd(resolver->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	arm_timer(resolver);
}

static void
on_socket(struct sl_io *io, uint32_t events)
{
	struct sl_resolver *resolver = SL_CONTAINER(io, struct socket_watch, io)->resolver;
	bool broken = (events & (EPOLLERR | EPOLLHUP)) != 0;

	ares_process_fd(resolver->channel,
	                broken || (events & EPOLLIN) ? io->fd : ARES_SOCKET_BAD,
	                broken || (events & EPOLLOUT) ? io->fd : ARES_SOCKET_BAD);
	arm_timer(resolver);
}

static struct socket_watch *
find_watch(struct sl_resolver *resolver, int fd)
{
	for (size_t i = 0; i < SOCKET_MAX; i++)
		if (resolver->sockets[i].io.fd == fd)
			return &resolver->sockets[i];
	return NULL;
}

/* c-ares opens, changes (readable, writable) or closes (neither) a socket. */
static void
on_socket_state(void *context, ares_socket_t fd, int readable, int writable)
{
	struct sl_resolver *resolver = context;
	struct socket_watch *watch = find_watch(resolver, fd);
	uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);

	if (!events) {
		if (watch) {
			sl_loop_remove(resolver->loop, &watch->io);
			watch->io.fd = -1;
		}
		return;
	}
	if (watch) {
		sl_loop_change(resolver->loop, &watch->io, events);
		return;
	}
	watch = find_watch(resolver, -1);
	/* Without a free watch the query runs into its timeout. */
	if (!watch)
		return;
	watch->io.fd = fd;
	if (sl_loop_add(resolver->loop, &watch->io, events) != SL_OK)
		watch->io.fd = -1;
}

static enum sl_err
open_channel(struct sl_resolver *resolver)
{
	char lookups[] = "fb"; /* /etc/hosts, then DNS */
	struct ares_options options = {
		.timeout = QUERY_TIMEOUT_MS,
		.tries = QUERY_TRIES,
		.lookups = lookups,
		.sock_state_cb = on_socket_state,
		.sock_state_cb_data = resolver,
	};

	if (resolver->has_channel)
		return SL_OK;
	if (ares_init_options(&resolver->channel, &options,
	                      ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS |
	                          ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS)
		return SL_ERESOLVE;
	if (*servers_text &&
	    ares_set_servers_ports_csv(resolver->channel, servers_text) != ARES_SUCCESS) {
		ares_destroy(resolver->channel);
		return SL_ERESOLVE;
	}
	resolver->has_channel = true;
	return SL_OK;
}

static void
check_config(struct sl_resolver *resolver)
{
	struct stat stat_now;
	uint64_t now_ms = sl_loop_now_ms(resolver->loop);

	if (resolver->asked_count ||
	    (resolver->has_channel && now_ms - resolver->config_checked_ms < CONFIG_CHECK_MS))
		return;
	resolver->config_checked_ms = now_ms;
	if (stat("/etc/resolv.conf", &stat_now) < 0)
		return;
	if (resolver->has_channel &&
	    (stat_now.st_mtim.tv_sec != resolver->config_mtime.tv_sec ||
	     stat_now.st_mtim.tv_nsec != resolver->config_mtime.tv_nsec)) {
		ares_destroy(resolver->channel);
		resolver->has_channel = false;
	}
	resolver->config_mtime = stat_now.st_mtim;
}

/* --- entries -------------------------------------------------------------------- */

static void
free_entry(struct entry *entry)
{
	sl_list_remove(&entry->node);
	entry->resolver->entry_count--;
	free(entry);
}

static bool
is_idle(const struct entry *entry)
{
	return entry->state != ENTRY_ASKED && !entry->telling && entry->pending == 0;
}

static struct entry *
find_entry(struct sl_resolver *resolver, struct sl_slice host)
{
	uint64_t now_ms = sl_loop_now_ms(resolver->loop);
	struct sl_list *next;

	for (struct sl_list *node = resolver->entries.next; node != &resolver->entries;
	     node = next) {
		struct entry *entry = SL_CONTAINER(node, struct entry, node);

		next = node->next;
		if (is_idle(entry) && entry->due_ms <= now_ms) {
			free_entry(entry);
			continue;
		}
		if (sl_slice_ieq(sl_slice_str(entry->host), host))
			return entry;
	}
	return NULL;
}

/* The oldest entry that nobody waits for makes room. */
static bool
make_room(struct sl_resolver *resolver)
{
	if (resolver->entry_count < ENTRY_MAX)
		return true;
	for (struct sl_list *node = resolver->entries.prev; node != &resolver->entries;
	     node = node->prev) {
		struct entry *entry = SL_CONTAINER(node, struct entry, node);

		if (is_idle(entry)) {
			free_entry(entry);
			return true;
		}
	}
	return false;
}

static const char *
failure_text(int status)
{
	switch (status) {
	case ARES_ENOTFOUND:
	case ARES_ENODATA:
		return "the name has no address (check its spelling)";
	case ARES_ETIMEOUT:
		return "no name server answered (check dns.servers, or /etc/resolv.conf)";
	case ARES_ECONNREFUSED:
		return "the name server refused the connection (check dns.servers, or "
		       "/etc/resolv.conf)";
	default:
		return ares_strerror(status);
	}
}

static void
add_addresses(struct entry *entry, const struct ares_addrinfo *result)
{
	size_t most = entry->count + SL_RESOLVE_MAX / 2; /* the other kind has a place too */

	for (const struct ares_addrinfo_node *node = result->nodes; node && entry->count < most;
	     node = node->ai_next) {
		union sl_address *address = &entry->addresses[entry->count];

		memset(address, 0, sizeof(*address));
		if (node->ai_family == AF_INET)
			memcpy(&address->in, node->ai_addr, sizeof(address->in));
		else if (node->ai_family == AF_INET6)
			memcpy(&address->in6, node->ai_addr, sizeof(address->in6));
		else
			continue;
		entry->count++;
		if (node->ai_ttl >= 0 && (uint64_t)node->ai_ttl * 1000 < entry->ttl_ms)
			entry->ttl_ms = (uint64_t)node->ai_ttl * 1000;
	}
}

/* Tells all who wait. What they do may add questions, also for this name: the
 * entry is not ASKED any more, so those are answered at once and never line up. */
static void
tell(struct entry *entry)
{
	entry->telling = true;
	while (!sl_list_empty(&entry->waiting)) {
		struct sl_resolve *resolve =
		    SL_CONTAINER(entry->waiting.next, struct sl_resolve, node);

		sl_list_remove(&resolve->node);
		resolve->on_done(resolve, entry->err, entry->addresses, entry->count,
		                 entry->detail);
	}
	entry->telling = false;
}

static void
conclude(struct entry *entry)
{
	uint64_t now_ms = sl_loop_now_ms(entry->resolver->loop);

	sl_timer_clear(&entry->grace);
	if (entry->count > 0) {
		entry->state = ENTRY_KNOWN;
		entry->err = SL_OK;
		entry->due_ms = now_ms +
		                (entry->ttl_ms < TTL_MIN_MS ? TTL_MIN_MS : entry->ttl_ms);
	} else {
		entry->state = ENTRY_FAILED;
		entry->err = SL_ERESOLVE;
		entry->detail = failure_text(entry->failure);
		entry->due_ms = now_ms + NEGATIVE_MS;
	}
	tell(entry);
}

static void
on_grace(struct sl_timer *timer)
{
	conclude(SL_CONTAINER(timer, struct entry, grace));
}

static void
on_answer(void *context, int status, int timeouts, struct ares_addrinfo *result)
{
	struct entry *entry = context;

	(void)timeouts;
	entry->resolver->asked_count--;
	entry->pending--;
	if (status == ARES_SUCCESS && result)
		add_addresses(entry, result);
	/* That a name has no address of one kind says less than any other failure. */
	else if (entry->failure == ARES_ENODATA || entry->failure == ARES_ENOTFOUND)
		entry->failure = status;
	if (result)
		ares_freeaddrinfo(result);
	if (entry->state != ENTRY_ASKED)
		return;
	if (entry->pending == 0)
		conclude(entry);
	else if (entry->count > 0)
		sl_timer_set(entry->resolver->loop, &entry->grace, GRACE_MS);
}

/* --- questions ------------------------------------------------------------------- */

static bool
is_host_name(struct sl_slice host)
{
	if (host.len == 0 || host.len > HOST_MAX)
		return false;
	for (size_t i = 0; i < host.len; i++) {
		char c = host.ptr[i];

		/* '_' is not in RFC 1123 but container networks use it. */
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_'))
			return false;
	}
	return true;
}

static bool
is_literal(struct sl_slice host, union sl_address *out)
{
	char text[INET6_ADDRSTRLEN];

	if (host.len == 0 || host.len >= sizeof(text))
		return false;
	memcpy(text, host.ptr, host.len);
	text[host.len] = '\0';
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &out->in.sin_addr) == 1) {
		out->in.sin_family = AF_INET;
		return true;
	}
	if (inet_pton(AF_INET6, text, &out->in6.sin6_addr) == 1) {
		out->in6.sin6_family = AF_INET6;
		return true;
	}
	return false;
}

/* True when the answer needs neither file nor network. */
static bool
answer_by_rule(struct sl_slice host, struct sl_resolved *out)
{
	if (is_literal(host, &out->addresses[0])) {
		out->count = 1;
		return true;
	}
	if (!sl_dial_host_is_localhost(host))
		return false;
	/* IPv4 first: local model servers listen there, many of them only there. */
	is_literal(SL_SLICE("127.0.0.1"), &out->addresses[0]);
	is_literal(SL_SLICE("::1"), &out->addresses[1]);
	out->count = 2;
	return true;
}

static enum sl_err
fail(struct sl_resolved *out, enum sl_err err, const char *detail)
{
	out->detail = detail;
	return err;
}

static struct entry *
add_entry(struct sl_resolver *resolver, struct sl_slice host)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->resolver = resolver;
	entry->state = ENTRY_ASKED;
	entry->failure = ARES_ENODATA;
	entry->ttl_ms = TTL_MAX_MS;
	entry->grace.on_due = on_grace;
	memcpy(entry->host, host.ptr, host.len);
	sl_list_init(&entry->waiting);
	sl_list_push_front(&resolver->entries, &entry->node);
	resolver->entry_count++;
	return entry;
}

static void
ask(struct entry *entry)
{
	static const int families[] = { AF_INET6, AF_INET };
	struct sl_resolver *resolver = entry->resolver;

	entry->pending = sizeof(families) / sizeof(families[0]);
	resolver->asked_count += entry->pending;
	/* May answer before it returns: a line in /etc/hosts, or no server. */
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		struct ares_addrinfo_hints hints = { .ai_flags = ARES_AI_NOSORT,
			                             .ai_family = families[i],
			                             .ai_socktype = SOCK_STREAM };

		ares_getaddrinfo(resolver->channel, entry->host, NULL, &hints, on_answer, entry);
	}
	arm_timer(resolver);
}

enum sl_err
sl_resolve_start(struct sl_resolver *resolver, struct sl_slice host,
                 struct sl_resolve *resolve, struct sl_resolved *out)
{
	struct entry *entry;

	*out = (struct sl_resolved){ 0 };
	if (answer_by_rule(host, out))
		return SL_OK;
	if (!is_host_name(host))
		return fail(out, SL_EINVAL, "not a host name");
	entry = find_entry(resolver, host);
	if (!entry) {
		check_config(resolver);
		if (open_channel(resolver) != SL_OK)
			return fail(out, SL_ERESOLVE, "the resolver could not be started");
		if (!make_room(resolver))
			return fail(out, SL_ELIMIT, "too many names are being resolved");
		entry = add_entry(resolver, host);
		if (!entry)
			return fail(out, SL_ENOMEM, "out of memory");
		ask(entry);
	}
	if (entry->state == ENTRY_ASKED) {
		sl_list_push_back(&entry->waiting, &resolve->node);
		return SL_AGAIN;
	}
	if (entry->state == ENTRY_FAILED)
		return fail(out, entry->err, entry->detail);
	memcpy(out->addresses, entry->addresses, entry->count * sizeof(entry->addresses[0]));
	out->count = entry->count;
	return SL_OK;
}

void
sl_resolve_cancel(struct sl_resolve *resolve)
{
	if (resolve->node.next)
		sl_list_remove(&resolve->node);
}

bool
sl_resolve_is_server(struct sl_slice server)
{
	union sl_address address;
	struct sl_slice host = server;
	size_t at = server.len;
	unsigned port = 0;

	if (is_literal(server, &address))
		return true;
	while (at > 0 && server.ptr[at - 1] >= '0' && server.ptr[at - 1] <= '9')
		at--;
	if (at < 2 || server.ptr[at - 1] != ':' || server.len - at > 5)
		return false;
	for (size_t i = at; i < server.len; i++)
		port = port * 10 + (unsigned)(server.ptr[i] - '0');
	host.len = at - 1;
	if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
		host = sl_slice_make(host.ptr + 1, host.len - 2);
	else if (memchr(host.ptr, ':', host.len))
		return false;
	return port > 0 && port <= UINT16_MAX && is_literal(host, &address);
}

enum sl_err
sl_resolve_use_servers(const struct sl_slice *servers, size_t count)
{
	size_t len = 0;

	if (count > SL_RESOLVE_SERVERS_MAX)
		return SL_ELIMIT;
	for (size_t i = 0; i < count; i++)
		if (!sl_resolve_is_server(servers[i]))
			return SL_EINVAL;
	for (size_t i = 0; i < count; i++)
		len += (size_t)snprintf(servers_text + len, sizeof(servers_text) - len, "%s%.*s",
		                        i ? "," : "", SL_ARG(servers[i]));
	return SL_OK;
}

static void
init_library(void)
{
	ares_library_init(ARES_LIB_INIT_ALL);
}

struct sl_resolver *
sl_resolver_new(struct sl_loop *loop)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct sl_resolver *resolver = calloc(1, sizeof(*resolver));

	if (!resolver)
		return NULL;
	/* The channel is opened by the first question: a gateway that talks to
	 * literals only never reads /etc/resolv.conf. */
	pthread_once(&once, init_library);
	resolver->loop = loop;
	resolver->timer.on_due = on_timer;
	sl_list_init(&resolver->entries);
	for (size_t i = 0; i < SOCKET_MAX; i++) {
		resolver->sockets[i].io = (struct sl_io){ .fd = -1, .on_ready = on_socket };
		resolver->sockets[i].resolver = resolver;
	}
	return resolver;
}

void
sl_resolver_free(struct sl_resolver *resolver)
{
	if (!resolver)
		return;
	if (resolver->has_channel)
		ares_destroy(resolver->channel);
	sl_timer_clear(&resolver->timer);
	while (!sl_list_empty(&resolver->entries))
		free_entry(SL_CONTAINER(resolver->entries.next, struct entry, node));
	free(resolver);
}
