/* cmd_mock.c - `sluice mock`: the simulated provider alone. */
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "app/cli.h"
#include "app/config_load.h"
#include "mock/mock.h"

/* One loop of its own, stopped by a signal that arrives as a descriptor. */
struct mock_command {
	struct sl_loop *loop;
	struct sl_io    signals;
};

static void
on_signal(struct sl_io *io, uint32_t events)
{
	struct mock_command *state = SL_CONTAINER(io, struct mock_command, signals);

	(void)events;
	sl_loop_stop(state->loop);
}

static bool
watch_signals(struct mock_command *state)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	state->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	state->signals.on_ready = on_signal;
	return state->signals.fd >= 0 &&
	       sl_loop_add(state->loop, &state->signals, EPOLLIN) == SL_OK;
}

static int
serve(const char *host, uint16_t port, const struct sl_mock_options *options)
{
	struct mock_command state = { .loop = sl_loop_new(0), .signals.fd = -1 };
	const char *reason = "out of memory or file descriptors";
	struct sl_mock *mock = NULL;
	int status = SL_EXIT_FAILED;

	if (state.loop && watch_signals(&state))
		mock = sl_mock_new(state.loop, host, port, options, &port, &reason);
	if (mock) {
		printf("Simulated provider on http://%s%s%s:%u: OpenAI under /v1, Anthropic and "
		       "Gemini under their own paths. Any key will do.\n",
		       strchr(host, ':') ? "[" : "", host, strchr(host, ':') ? "]" : "", port);
		fflush(stdout);
		sl_loop_run(state.loop);
		sl_mock_free(mock);
		status = SL_EXIT_OK;
	} else {
		fprintf(stderr, "sluice mock: %s\n", reason);
	}
	if (state.signals.fd >= 0) {
		sl_loop_remove(state.loop, &state.signals);
		close(state.signals.fd);
	}
	if (state.loop)
		sl_loop_free(state.loop);
	return status;
}

/* A number given as text, within 0 and max; NULL leaves *out as it is. */
static bool
read_number(const char *text, int64_t max, int64_t *out)
{
	int64_t value;

	if (!text)
		return true;
	if (!sl_slice_i64(sl_slice_str(text), &value) || value < 0 || value > max)
		return false;
	*out = value;
	return true;
}

static int
run(const struct sl_command *command, int argc, char **argv)
{
	const char *listen = "127.0.0.1:8090", *chunks = NULL, *chunk_ms = NULL, *first_ms = NULL,
	           *size = NULL;
	const struct sl_cli_flag flags[] = {
		{ "--listen", "IP:PORT", &listen, NULL, "where to listen (127.0.0.1:8090)" },
		{ "--chunks", "N", &chunks, NULL, "pieces of content in an answer" },
		{ "--chunk-bytes", "N", &size, NULL, "bytes of a piece; 0: a word" },
		{ "--chunk-ms", "N", &chunk_ms, NULL, "pause between pieces" },
		{ "--first-ms", "N", &first_ms, NULL, "delay before an answer begins" },
	};
	struct sl_cli cli = {
		.command = command,
		.flags = flags,
		.flag_count = sizeof(flags) / sizeof(flags[0]),
		.details = "A request overrides these, and asks for faults, in one header:\n"
		           "  x-mock: chunks=50, chunk_ms=20, first_ms=300, size=227\n"
		           "    input=1000, output=50      tokens to report\n"
		           "    status=429, retry_after=3  answer with this error\n"
		           "    cut=2, cut_byte=300        close after so many pieces, or bytes of the body\n"
		           "    hang=1, garbage=1          never answer; answer with what is no JSON",
	};
	struct sl_mock_options options = sl_mock_options_default;
	int64_t count = options.chunks, bytes = options.chunk_size, pause_ms = options.chunk_ms,
	        delay_ms = options.first_ms;
	int status = sl_cli_parse(&cli, argc, argv);
	struct sl_slice host;
	char host_text[64];
	uint16_t port;

	if (status != SL_CLI_GO_ON)
		return status;
	if (!sl_config_parse_address(sl_slice_str(listen), &host, &port))
		return sl_cli_mistake(command, "--listen %s is not an address; write IP:PORT", listen);
	if (!read_number(chunks, 100000, &count) || !read_number(size, 65536, &bytes) ||
	    !read_number(chunk_ms, 60000, &pause_ms) || !read_number(first_ms, 600000, &delay_ms))
		return sl_cli_mistake(command, "a number is not one, or is too large");
	options.chunks = (uint32_t)count;
	options.chunk_size = (uint32_t)bytes;
	options.chunk_ms = (uint32_t)pause_ms;
	options.first_ms = (uint32_t)delay_ms;
	snprintf(host_text, sizeof(host_text), "%.*s", SL_ARG(host));
	return serve(host_text, port, &options);
}

const struct sl_command sl_command_mock = {
	.name = "mock",
	.synopsis = "[--listen IP:PORT] [--chunks N] ...",
	.summary = "Run a simulated provider, for tests and first steps.",
	.run = run,
};
