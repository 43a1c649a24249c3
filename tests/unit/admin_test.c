/* admin_test.c - the admin room over a real server, loop and store on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "../money_harness.h"
#include "admin/call.h"
#include "ledger/key.h"
#include "ledger/tenants.h"
#include "model/config.h"
#include "pipeline/board.h"
#include "pipeline/gateway.h"
#include "routing/stack.h"
#include "store/store.h"

enum { ANSWER_MAX = 1 << 20 };

/* One gateway without a pipeline, on a thread of its own. */
static struct {
	struct sl_loop      *loop;
	struct till          till;
	struct sl_store     *store;
	struct sl_keyring   *keyring;
	struct sl_tenants   *tenants;
	struct sl_telemetry *telemetry;
	struct sl_board     *board;
	struct sl_stacks    *stacks;
	struct sl_world     *world;
	struct sl_admin     *admin;
	struct sl_server    *server;
	pthread_t            thread;
	uint16_t             port;
	atomic_bool          draining;
	struct sl_reload    *asked;
	struct sl_task       reload_task;
	enum sl_err          reload_err;
	const char          *reload_report;
} gateway;

static char answer[ANSWER_MAX];

/* --- the services ------------------------------------------------------------- */

static void
reloaded(struct sl_task *task)
{
	(void)task;
	gateway.asked->done(gateway.asked);
}

static enum sl_err
reload(void *context, struct sl_reload *asked)
{
	(void)context;
	if (gateway.reload_err == SL_EBUSY)
		return SL_EBUSY;
	sl_buf_append_str(&asked->report, gateway.reload_report);
	asked->err = gateway.reload_err;
	gateway.asked = asked;
	gateway.reload_task.run = reloaded;
	sl_loop_post(gateway.loop, &gateway.reload_task);
	return SL_OK;
}

static struct sl_config_provider providers[] = {
	{ .name = SL_SLICE_INIT("east"), .kind = SL_SLICE_INIT("openai"), .enabled = true },
	{ .name = SL_SLICE_INIT("west"), .kind = SL_SLICE_INIT("openai"), .enabled = true },
};
static struct sl_config_deployment deployments[] = {
	{ .id = SL_SLICE_INIT("fast/east/m"), .provider = SL_SLICE_INIT("east"),
	  .model = SL_SLICE_INIT("m"), .weight = 3, .priority = 1 },
	{ .id = SL_SLICE_INIT("fast/west/m"), .provider = SL_SLICE_INIT("west"),
	  .model = SL_SLICE_INIT("m"), .weight = 1 },
};
static struct sl_config_model aliases[] = {
	{ .name = SL_SLICE_INIT("fast"), .strategy = SL_SLICE_INIT("weighted"),
	  .deployments = deployments, .deployment_count = 2 },
};
static const struct sl_config config = {
	.providers = providers, .provider_count = 2, .models = aliases, .model_count = 1,
};

static const struct sl_config *
config_of(void *context)
{
	(void)context;
	return &config;
}

static struct sl_world *
world_of(void *context)
{
	(void)context;
	return gateway.world;
}

static struct sl_slice
base_url(void *context)
{
	(void)context;
	return SL_SLICE("127.0.0.1:8080");
}

static struct sl_slice
sample_model(void *context)
{
	(void)context;
	return SL_SLICE("<openai>/gpt & co");
}

static bool
draining(void *context)
{
	(void)context;
	return atomic_load(&gateway.draining);
}

static void *
run_loop(void *argument)
{
	(void)argument;
	sl_loop_run(gateway.loop);
	return NULL;
}

static int
set_up(void **state)
{
	static const struct sl_server_limits limits = {
		.header_bytes = 65536, .header_count = 100, .body_bytes = 32 << 20,
		.header_timeout_ms = 5000, .body_timeout_ms = 5000,
		.keepalive_timeout_ms = 5000, .write_stall_ms = 5000, .connections = 100,
		.h2_streams = 100, .write_buffer_bytes = 4 << 20,
		.requests_per_connection = 1000,
	};
	const struct sl_listen_config listen = { .host = "127.0.0.1" };
	const struct sl_telemetry_config telemetry = { .loops = 1 };
	struct sl_buf why;
	struct sl_admin_services services = {
		.keys_required = true, .reload = reload, .base_url = base_url,
		.sample_model = sample_model, .draining = draining,
	};
	struct sl_buf generated;

	(void)state;
	sl_buf_init(&generated, 256);
	gateway.loop = sl_loop_new(0);
	if (!till_open(&gateway.till, SL_DURABLE_LEASE))
		return -1;
	gateway.store = gateway.till.store;
	gateway.tenants = sl_tenants_new();
	sl_tenants_load(gateway.tenants, gateway.store);
	gateway.keyring = sl_keyring_new();
	gateway.telemetry = sl_telemetry_new(&telemetry, gateway.store);
	if (sl_keyring_load(gateway.keyring, gateway.store) != SL_OK ||
	    sl_keyring_set_master(gateway.keyring, gateway.store, SL_SLICE("the-master-key"),
	                          &generated) != SL_OK)
		return -1;
	services.store = gateway.store;
	services.keyring = gateway.keyring;
	services.tenants = gateway.tenants;
	services.money = gateway.till.money;
	services.telemetry = gateway.telemetry;
	gateway.board = sl_board_new();
	sl_board_register(gateway.board, &config);
	services.board = gateway.board;
	gateway.stacks = sl_stacks_new();
	services.stacks = gateway.stacks;
	sl_buf_init(&why, 4096);
	gateway.world = sl_world_new(sl_config_new(), &why);
	sl_buf_release(&why);
	services.world = world_of;
	services.config = config_of;
	gateway.admin = sl_admin_new(gateway.loop, &services);
	gateway.server = sl_server_new(gateway.loop, &limits, sl_admin_handler(gateway.admin));
	if (sl_server_listen(gateway.server, &listen, &gateway.port) != SL_OK)
		return -1;
	return pthread_create(&gateway.thread, NULL, run_loop, NULL);
}

static void
stop_loop(struct sl_task *task)
{
	(void)task;
	sl_loop_stop(gateway.loop);
}

static int
tear_down(void **state)
{
	struct sl_task last = { .run = stop_loop };

	(void)state;
	sl_loop_stop(gateway.loop);
	pthread_join(gateway.thread, NULL);
	sl_server_free(gateway.server);
	sl_telemetry_free(gateway.telemetry);
	till_shut(&gateway.till);
	till_remove(&gateway.till);
	/* What the store did in its last moments is still to be told. */
	sl_loop_post(gateway.loop, &last);
	sl_loop_run(gateway.loop);
	sl_admin_free(gateway.admin);
	sl_board_free(gateway.board);
	sl_stacks_free(gateway.stacks);
	sl_world_unref(gateway.world);
	sl_keyring_free(gateway.keyring);
	sl_tenants_free(gateway.tenants);
	sl_loop_free(gateway.loop);
	return 0;
}

/* --- a client -------------------------------------------------------------------- */

static int
dial(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(gateway.port),
		                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = 5 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* Sends one request on a connection of its own; returns the status. The whole
 * answer is in `answer`. */
static int
ask(const char *method, const char *path, const char *headers, const char *body)
{
	char request[8192];
	size_t len = 0;
	ssize_t got;
	int fd = dial(), size;

	size = snprintf(request, sizeof(request),
	                "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s", method, path,
	                headers);
	if (body)
		size += snprintf(request + size, sizeof(request) - (size_t)size,
		                 "Content-Type: application/json\r\nContent-Length: %zu\r\n",
		                 strlen(body));
	size += snprintf(request + size, sizeof(request) - (size_t)size, "\r\n%s",
	                 body ? body : "");
	assert_int_equal(write(fd, request, (size_t)size), size);
	while (len < sizeof(answer) - 1 &&
	       (got = read(fd, answer + len, sizeof(answer) - 1 - len)) > 0)
		len += (size_t)got;
	answer[len] = '\0';
	close(fd);
	if (len < 12)
		fail_msg("%s %s: no answer", method, path);
	return (int)strtol(answer + 9, NULL, 10);
}

#define AS_MASTER "Authorization: Bearer the-master-key\r\n"

static bool
answered(const char *text)
{
	return strstr(answer, text) != NULL;
}

static const char *
answer_body(void)
{
	const char *end = strstr(answer, "\r\n\r\n");

	assert_non_null(end);
	return end + 4;
}

/* A string member of the answer. */
static void
member(const char *path, char *out, size_t size)
{
	struct sl_arena arena;
	struct sl_slice text;

	sl_arena_init(&arena, 1024, 0);
	assert_true(sl_json_string(
	    sl_json_at(sl_json_parse(sl_slice_str(answer_body())), path), &arena, &text));
	assert_true(text.len < size);
	memcpy(out, text.ptr, text.len);
	out[text.len] = '\0';
	sl_arena_release(&arena);
}

static int64_t
number(const char *path)
{
	int64_t value = -1;

	sl_json_i64(sl_json_at(sl_json_parse(sl_slice_str(answer_body())), path), &value);
	return value;
}

/* --- tests --------------------------------------------------------------------------- */

static void
a_key_goes_through_its_life(void **state)
{
	char id[64], secret[128], path[128], bearer[256], kept[256];

	(void)state;
	assert_int_equal(ask("POST", "/admin/keys", AS_MASTER,
	                     "{\"name\":\"ci\",\"team\":\"search\",\"rpm\":120}"), 201);
	member("id", id, sizeof(id));
	member("key", secret, sizeof(secret));
	assert_memory_equal(id, "vk_", 3);
	assert_memory_equal(secret, "gw_virt_", 8);
	assert_int_equal(number("rpm"), 120);
	assert_true(answered("\"created_at\":\"20"));

	snprintf(path, sizeof(path), "/admin/keys/%s", id);
	assert_int_equal(ask("GET", path, AS_MASTER, NULL), 200);
	assert_false(answered(secret));
	assert_false(answered("\"key\""));
	assert_true(answered("\"spend_usd\":0,\"held_usd\":0"));
	assert_int_equal(ask("GET", "/admin/keys", AS_MASTER, NULL), 200);
	assert_true(answered("{\"data\":[{"));
	assert_true(answered(id));
	assert_false(answered(secret));

	assert_int_equal(ask("PATCH", path, AS_MASTER, "{\"rpm\":7}"), 200);
	assert_int_equal(number("rpm"), 7);
	member("team", kept, sizeof(kept));
	assert_string_equal(kept, "search");

	snprintf(bearer, sizeof(bearer), "Authorization: Bearer %s\r\n", secret);
	assert_int_equal(ask("GET", "/admin/keys", bearer, NULL), 403);
	assert_int_equal(ask("DELETE", path, AS_MASTER, NULL), 204);
	assert_int_equal(ask("GET", "/admin/keys", bearer, NULL), 401);
	assert_int_equal(ask("GET", path, AS_MASTER, NULL), 404);
	assert_int_equal(ask("DELETE", path, AS_MASTER, NULL), 404);
	assert_int_equal(ask("PATCH", path, AS_MASTER, "{\"rpm\":7}"), 404);
}

/* Past the door; what the handler makes of an empty body is its own business. */
static bool
is_let_in(int status)
{
	return status < 500 && status != 401 && status != 403;
}

/* Every row of the table with no key, a wrong one, a virtual one, the master's in
 * both carriers. */
/* What a restart would find. */
static bool
disabled_after_a_restart(const char *id)
{
	struct sl_board *board = sl_board_new();
	bool found;

	assert_int_equal(sl_admin_load_switches(board, gateway.store), SL_OK);
	found = sl_board_is_disabled(board, sl_slice_str(id));
	sl_board_free(board);
	return found;
}

static void
deployments_are_listed_and_switched(void **state)
{
	struct sl_board_ticket ticket;

	(void)state;
	assert_int_equal(ask("GET", "/admin/deployments", AS_MASTER, NULL), 200);
	assert_true(answered("{\"id\":\"fast/east/m\",\"model\":\"fast\",\"provider\":\"east\","
	                     "\"provider_model\":\"m\",\"weight\":3,\"tier\":null,\"priority\":1,\"concurrency\":null,"
	                     "\"enabled\":true,\"health\":\"unknown\",\"breaker\":\"closed\","
	                     "\"latency_ms\":null,\"in_flight\":0"));
	assert_false(answered("west/other"));

	/* By alias and provider; both names of the other deployment stay. */
	assert_int_equal(ask("POST", "/admin/deployments/disable", AS_MASTER,
	                     "{\"model\":\"fast\",\"provider\":\"east\"}"), 200);
	assert_true(answered("\"id\":\"fast/east/m\""));
	assert_true(answered("\"enabled\":false"));
	assert_false(answered("fast/west/m"));
	assert_true(sl_board_is_disabled(gateway.board, SL_SLICE("fast/east/m")));
	assert_false(sl_board_is_disabled(gateway.board, SL_SLICE("fast/west/m")));
	assert_true(disabled_after_a_restart("fast/east/m"));

	/* A target that was named by a caller, and one that never was. */
	assert_true(sl_board_begin(sl_board_place(gateway.board, SL_SLICE("west"), SL_SLICE("other")), true,
	                           false, 1000, &ticket));
	sl_board_content(&ticket, 43000);
	sl_board_end(&ticket, SL_VERDICT_OK, 0, 50000);
	assert_int_equal(ask("GET", "/admin/deployments", AS_MASTER, NULL), 200);
	assert_true(answered("\"id\":\"west/other\",\"model\":\"west/other\""));
	assert_int_equal(ask("POST", "/admin/deployments/disable", AS_MASTER,
	                     "{\"id\":\"east/unseen\"}"), 200);
	assert_int_equal(ask("GET", "/admin/deployments", AS_MASTER, NULL), 200);
	assert_true(answered("\"id\":\"east/unseen\""));
	assert_true(disabled_after_a_restart("east/unseen"));

	assert_int_equal(ask("POST", "/admin/deployments/enable", AS_MASTER,
	                     "{\"id\":\"fast/east/m\"}"), 200);
	assert_true(answered("\"enabled\":true"));
	assert_false(disabled_after_a_restart("fast/east/m"));
	assert_true(disabled_after_a_restart("east/unseen"));
	assert_int_equal(ask("POST", "/admin/deployments/enable", AS_MASTER,
	                     "{\"id\":\"east/unseen\"}"), 200);
	assert_true(sl_board_all_enabled(gateway.board));

	assert_int_equal(ask("POST", "/admin/deployments/disable", AS_MASTER,
	                     "{\"id\":\"nobody/knows\"}"), 404);
	assert_int_equal(ask("POST", "/admin/deployments/disable", AS_MASTER,
	                     "{\"model\":\"fast\"}"), 400);
	assert_int_equal(ask("POST", "/admin/deployments/disable", AS_MASTER, "[]"), 400);
}

static void
metrics_tell_of_breakers(void **state)
{
	struct sl_board_ticket ticket;

	(void)state;
	for (int i = 0; i < SL_HEALTH_CONSECUTIVE; i++) {
		assert_true(sl_board_begin(sl_board_place(gateway.board, SL_SLICE("west"), SL_SLICE("sick")), true,
		                           true, 1000, &ticket));
		sl_board_end(&ticket, SL_VERDICT_FAILED, 0, 2000);
	}
	assert_true(sl_board_begin(sl_board_place(gateway.board, SL_SLICE("west"), SL_SLICE("sick")), true, true,
	                           3000, &ticket));
	assert_int_equal(ask("GET", "/metrics", "", NULL), 200);
	assert_true(answered("sluice_breakers{provider=\"west\",state=\"open\"} 1\n"));
	assert_true(answered("sluice_upstream_failures_total{provider=\"west\"} 5\n"));
	assert_true(answered("sluice_upstream_attempts_in_flight{provider=\"west\"} 1\n"));
	assert_true(answered("sluice_breakers{provider=\"east\",state=\"open\"} 0\n"));
	sl_board_end(&ticket, SL_VERDICT_NONE, 0, 4000);
}

static void
every_route_asks_for_its_role(void **state)
{
	char virtual_key[160] = "x-api-key: ", id[64];

	(void)state;
	gateway.reload_err = SL_OK;
	gateway.reload_report = "{\"changed\":[]}";
	assert_int_equal(ask("POST", "/admin/keys", AS_MASTER, "{}"), 201);
	member("key", virtual_key + 11, sizeof(virtual_key) - 13);
	snprintf(virtual_key + strlen(virtual_key), 3, "\r\n");
	assert_int_equal(ask("POST", "/admin/keys", AS_MASTER, "{}"), 201);
	member("id", id, sizeof(id));
	for (size_t i = 0; i < admin_route_count; i++) {
		const struct admin_route *route = &admin_routes[i];
		bool open = route->role == ADMIN_ROLE_NONE;
		const char *body = route->method[0] == 'P' ? "{}" : NULL, *at;
		char path[128];
		int status;

		if (strstr(route->pattern, "/deployments/"))
			body = "{\"id\":\"east/any\"}";
		if (strcmp(route->pattern, "/admin/stacks") == 0 && body)
			body = "{\"slug\":\"mine\"}";
		if (strcmp(route->pattern, "/admin/explain") == 0)
			body = "{\"body\":{\"model\":\"m\"}}";
		at = strstr(route->pattern, ":id");
		snprintf(path, sizeof(path), "%.*s%s%s",
		         at ? (int)(at - route->pattern) : (int)strlen(route->pattern),
		         route->pattern,
		         !at ? "" : strstr(route->pattern, "/stacks/") ? "low-cost" : id,
		         at ? at + strlen(":id") : "");
		status = ask(route->method, path, "", body);
		assert_int_equal(status, open ? 200 : 401);
		status = ask(route->method, path, "Authorization: Bearer wrong\r\n", body);
		assert_int_equal(status, open ? 200 : 401);
		status = ask(route->method, path, virtual_key, body);
		if (route->role == ADMIN_ROLE_MASTER)
			assert_int_equal(status, 403);
		else
			assert_true(is_let_in(status));
		status = ask(route->method, path, AS_MASTER, body);
		if (route->role == ADMIN_ROLE_KEY)
			assert_int_equal(status, 401);
		else
			assert_true(is_let_in(status));
		if (route->role == ADMIN_ROLE_MASTER && strcmp(route->method, "DELETE") != 0)
			assert_true(is_let_in(ask(route->method, path,
			                          "X-Api-Key: the-master-key\r\n", body)));
	}
}

static void
refusals_are_clear(void **state)
{
	(void)state;
	assert_int_equal(ask("GET", "/admin/keys", "", NULL), 401);
	assert_true(answered("{\"error\":{\"type\":\"authentication_error\""));
	assert_true(answered("www-authenticate: Bearer"));
	/* Without the master key nobody learns which paths exist. */
	assert_int_equal(ask("GET", "/admin/nothing", "", NULL), 401);
	assert_int_equal(ask("GET", "/admin/nothing", AS_MASTER, NULL), 404);
	assert_int_equal(ask("GET", "/admin/deployments/x", AS_MASTER, NULL), 404);
	assert_int_equal(ask("PUT", "/admin/keys", AS_MASTER, "{}"), 405);
	assert_true(answered("allow: GET, HEAD, POST, OPTIONS\r\n"));
	assert_int_equal(ask("OPTIONS", "/admin/keys", AS_MASTER, NULL), 204);
	assert_true(answered("allow: GET, HEAD, POST, OPTIONS\r\n"));
	assert_false(answered("access-control-allow"));
	assert_int_equal(ask("POST", "/health", "", "{}"), 405);
	assert_int_equal(ask("POST", "/admin/keys", AS_MASTER, ""), 400);
	assert_int_equal(ask("POST", "/admin/keys", AS_MASTER, "{\"name\":"), 400);
	assert_true(answered("invalid_json"));
	assert_int_equal(ask("POST", "/admin/keys", AS_MASTER, "[]"), 400);
	assert_int_equal(ask("POST", "/admin/keys", AS_MASTER, "{\"rmp\":5}"), 400);
	assert_true(answered("Did you mean \\\"rpm\\\"?"));
	assert_true(answered("\"param\":\"rmp\""));
	assert_int_equal(ask("POST", "/admin/keys", AS_MASTER, "{\"stack\":5}"), 400);
	assert_true(answered("\"code\":\"invalid_type\""));
	assert_int_equal(ask("POST", "/admin/keys", AS_MASTER
	                     "Content-Type: text/plain\r\nContent-Length: 2\r\n", NULL) , 415);
	assert_int_equal(ask("GET", "/admin/keys", AS_MASTER "Sec-Fetch-Site: cross-site\r\n",
	                     NULL), 403);
	/* Over the room's own limit of a body, far below the server's. */
	assert_int_equal(ask("POST", "/admin/keys", AS_MASTER "Content-Type: application/json\r\n"
	                     "Content-Length: 1048577\r\n", NULL), 413);
	assert_true(answered("request_too_large"));
	assert_int_equal(ask("GET", "/admin/keys/%2e%2e%2fkeys", AS_MASTER, NULL), 404);
	assert_int_equal(ask("GET", "/admin/keys/%zz", AS_MASTER, NULL), 404);
}

static void
spend_adds_up_and_checks_its_parameters(void **state)
{
	(void)state;
	assert_int_equal(ask("GET", "/admin/spend", AS_MASTER, NULL), 200);
	assert_true(answered("{\"data\":{\"by_key\":["));
	assert_true(answered("\"by_team\":["));
	assert_true(answered("\"by_model\":["));
	assert_false(answered("\"by_provider\""));
	assert_true(answered("\"since\":null,\"until\":null}"));
	assert_int_equal(ask("GET", "/admin/spend?by=provider,workspace&since=2026-01-01&"
	                     "until=2027-01-01T00%3A00%3A00%2B01:00", AS_MASTER, NULL), 200);
	assert_true(answered("\"by_workspace\":["));
	assert_false(answered("\"by_key\""));
	assert_true(answered("\"since\":\"2026-01-01T00:00:00Z\","
	                     "\"until\":\"2026-12-31T23:00:00Z\""));
	assert_int_equal(ask("GET", "/admin/spend?by=colour", AS_MASTER, NULL), 400);
	assert_true(answered("\"param\":\"by\""));
	assert_int_equal(ask("GET", "/admin/spend?since=yesterday", AS_MASTER, NULL), 400);
	assert_true(answered("\"param\":\"since\""));
	assert_int_equal(ask("GET", "/admin/spend?since=20&until=10", AS_MASTER, NULL), 400);
	assert_int_equal(ask("GET", "/admin/spend?interval=week", AS_MASTER, NULL), 400);
	assert_true(answered("\"param\":\"interval\""));
	assert_int_equal(ask("GET", "/admin/spend?interval=day", AS_MASTER, NULL), 200);
	assert_int_equal(ask("GET", "/admin/spend?format=xml", AS_MASTER, NULL), 400);
	assert_int_equal(ask("GET", "/admin/spend?format=csv", AS_MASTER, NULL), 200);
	assert_true(answered("text/csv"));
	assert_true(answered("by,id,name,time,requests"));
}

static void
sums_are_those_of_the_records(void **state)
{
	struct sl_record record = {
		.row.request_id = SL_SLICE("req_1"), .row.key_id = SL_SLICE("vk_records"),
		.row.team = SL_SLICE("records"), .row.surface = SL_SLICE("gateway"),
		.row.shape = SL_SLICE("chat"), .row.operation = SL_SLICE("chat"),
		.row.model_requested = SL_SLICE("m"), .row.provider = SL_SLICE("p"),
		.row.model_served = SL_SLICE("m"), .row.status = 200, .outcome = SL_OUTCOME_OK,
		.priced = true, .row.cost_nanousd = 123456789, .row.attempts = 1,
		.row.begin_wall_ms = 1700000000000,
	};

	(void)state;
	sl_usage_set(&record.usage, SL_USAGE_INPUT, 10);
	sl_usage_set(&record.usage, SL_USAGE_OUTPUT, 5);
	record.usage.source = SL_USAGE_REPORTED;
	for (int i = 0; i < 3; i++) {
		sl_telemetry_begin(gateway.telemetry, 0);
		sl_telemetry_finish(gateway.telemetry, 0, &record);
	}
	/* Asked at once: the answer waits for the rows. */
	assert_int_equal(ask("GET", "/admin/spend?by=key", AS_MASTER, NULL), 200);
	assert_true(answered("{\"key\":\"vk_records\",\"name\":null,\"requests\":3,"
	                     "\"input_tokens\":30,\"output_tokens\":15,"
	                     "\"cost_usd\":0.370370367,\"unpriced_requests\":0}"));
	assert_true(answered("\"total\":{\"requests\":3,\"input_tokens\":30,"
	                     "\"output_tokens\":15,\"cost_usd\":0.370370367,"));
}

static void
health_and_readiness_tell_the_truth(void **state)
{
	(void)state;
	assert_int_equal(ask("GET", "/health", "", NULL), 200);
	assert_true(answered("{\"status\":\"ok\"}"));
	assert_int_equal(ask("HEAD", "/health", "", NULL), 200);
	assert_string_equal(answer_body(), "");
	assert_int_equal(ask("GET", "/ready", "", NULL), 200);
	assert_true(answered("{\"status\":\"ready\",\"checks\":{\"store\":\"ok\"}}"));
	atomic_store(&gateway.draining, true);
	assert_int_equal(ask("GET", "/ready", "", NULL), 503);
	assert_true(answered("draining"));
	assert_int_equal(ask("GET", "/health", "", NULL), 200);
	atomic_store(&gateway.draining, false);
}

static void
metrics_are_prometheus_text(void **state)
{
	(void)state;
	assert_int_equal(ask("GET", "/metrics", "", NULL), 200);
	assert_true(answered("content-type: text/plain; version=0.0.4"));
	assert_true(answered("# TYPE "));
}

static void
reload_reports_changes_or_problems(void **state)
{
	(void)state;
	gateway.reload_err = SL_OK;
	gateway.reload_report = "{\"changed\":[\"providers.openai\"]}";
	assert_int_equal(ask("POST", "/admin/reload", AS_MASTER, NULL), 200);
	assert_string_equal(answer_body(), "{\"changed\":[\"providers.openai\"]}");
	gateway.reload_err = SL_ESYNTAX;
	gateway.reload_report = "/etc/a:b.yaml:12:3: unknown key \"lisen\": did you mean it\n"
	                        "something else\n";
	assert_int_equal(ask("POST", "/admin/reload", AS_MASTER, NULL), 400);
	assert_true(answered("\"problems\":[{\"file\":\"/etc/a:b.yaml\",\"line\":12,\"column\":3,"
	                     "\"message\":\"unknown key \\\"lisen\\\": did you mean it\"},"
	                     "{\"message\":\"something else\"}]"));
	gateway.reload_err = SL_EBUSY;
	assert_int_equal(ask("POST", "/admin/reload", AS_MASTER, NULL), 503);
	assert_true(answered("retry-after: 1\r\n"));
	assert_true(answered("Another reload is running"));
}

static void
the_page_is_self_contained_and_escapes(void **state)
{
	char first[64], *at;

	(void)state;
	assert_int_equal(ask("GET", "/", "", NULL), 200);
	assert_true(answered("content-type: text/html"));
	assert_true(answered("Ready for requests"));
	assert_true(answered("http://127.0.0.1:8080</span>/v1/chat/completions"));
	assert_true(answered("&lt;openai&gt;/gpt &amp; co"));
	assert_false(answered("<openai>"));
	assert_false(answered("{{"));
	assert_false(answered("src=\"http"));
	at = strstr(answer, "script-src 'nonce-");
	assert_non_null(at);
	memcpy(first, at + 18, 32);
	first[32] = '\0';
	at = strstr(answer, "<script nonce=\"");
	assert_non_null(at);
	assert_memory_equal(at + 15, first, 32);
	assert_int_equal(ask("GET", "/", "", NULL), 200);
	assert_false(answered(first));
	assert_true(answered("x-content-type-options: nosniff"));
	assert_true(answered("frame-ancestors 'none'"));
}

/* Callers that hang up while their change is with the store. */
static void
peers_that_leave_early_harm_nothing(void **state)
{
	static const char request[] = "POST /admin/keys HTTP/1.1\r\nHost: x\r\n" AS_MASTER
	                              "Content-Type: application/json\r\n"
	                              "Content-Length: 2\r\n\r\n{}";

	(void)state;
	for (int i = 0; i < 50; i++) {
		int fd = dial();

		assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
		close(fd);
	}
	assert_int_equal(ask("GET", "/admin/keys", AS_MASTER, NULL), 200);
}

static void
a_broken_route_table_is_noticed(void **state)
{
	struct admin_route rows[] = {
		{ "GET", "/a", ADMIN_ROLE_NONE, admin_health },
		{ "GET", "/b", ADMIN_ROLE_MASTER, admin_health },
	};

	(void)state;
	assert_null(admin_check_routes(rows, 2));
	rows[1].role = ADMIN_ROLE_UNSET;
	assert_string_equal(admin_check_routes(rows, 2), "a route has no role");
	rows[1].role = ADMIN_ROLE_MASTER;
	rows[1].pattern = "/a";
	assert_string_equal(admin_check_routes(rows, 2), "two routes are the same");
	rows[1].method = "POST";
	assert_null(admin_check_routes(rows, 2));
	rows[1].handle = NULL;
	assert_string_equal(admin_check_routes(rows, 2), "a route is incomplete");
}

static void
the_room_owns_its_paths_and_no_others(void **state)
{
	(void)state;
	assert_true(sl_admin_owns(SL_SLICE("/")));
	assert_true(sl_admin_owns(SL_SLICE("/admin/keys")));
	assert_true(sl_admin_owns(SL_SLICE("/admin")));
	assert_false(sl_admin_owns(SL_SLICE("/administrator")));
	assert_false(sl_admin_owns(SL_SLICE("/v1/models")));
	assert_false(sl_admin_owns(SL_SLICE("")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_goes_through_its_life),
		cmocka_unit_test(every_route_asks_for_its_role),
		cmocka_unit_test(deployments_are_listed_and_switched),
		cmocka_unit_test(metrics_tell_of_breakers),
		cmocka_unit_test(refusals_are_clear),
		cmocka_unit_test(spend_adds_up_and_checks_its_parameters),
		cmocka_unit_test(sums_are_those_of_the_records),
		cmocka_unit_test(health_and_readiness_tell_the_truth),
		cmocka_unit_test(metrics_are_prometheus_text),
		cmocka_unit_test(reload_reports_changes_or_problems),
		cmocka_unit_test(the_page_is_self_contained_and_escapes),
		cmocka_unit_test(peers_that_leave_early_harm_nothing),
		cmocka_unit_test(a_broken_route_table_is_noticed),
		cmocka_unit_test(the_room_owns_its_paths_and_no_others),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
