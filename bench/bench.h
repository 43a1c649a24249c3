/* bench.h - what the load generator and the upstream share.
 *
 * Both know the text of a streamed event, so that the generator can tell a
 * lost, repeated, merged or changed event from a good one. An event is a chat
 * completion chunk whose content begins with the time of its writing and its
 * number: "t=%016llx n=%08x ....". Everything else in it is fixed.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/clock.h"

enum {
	EVENT_MIN = 200,  /* bytes of an event, its blank line included */
	EVENT_MAX = 4096,
	STAMP_LEN = 29,   /* t=<16> n=<8> */
};

#define EVENT_HEAD                                                                     \
	"data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1," \
	"\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\""
#define EVENT_TAIL "\"},\"finish_reason\":null}]}\n\n"
#define EVENT_STOP                                                                     \
	"data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1," \
	"\"model\":\"bench\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define EVENT_USAGE                                                                    \
	"data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1," \
	"\"model\":\"bench\",\"choices\":[],\"usage\":{\"prompt_tokens\":100,"              \
	"\"completion_tokens\":50,\"total_tokens\":150}}\n\n"
#define EVENT_DONE "data: [DONE]\n\n"
#define EVENT_END EVENT_STOP EVENT_USAGE EVENT_DONE

/* Writes the event text without its stamp (spaces there); out has EVENT_MAX bytes. */
static inline void
event_template(char *out, size_t size)
{
	const size_t head = sizeof(EVENT_HEAD) - 1, tail = sizeof(EVENT_TAIL) - 1;

	memset(out, '.', size);
	memcpy(out, EVENT_HEAD, head);
	memset(out + head, ' ', STAMP_LEN);
	memcpy(out + size - tail, EVENT_TAIL, tail);
}

static inline void
event_stamp(char *event, uint64_t now_ns, uint32_t number)
{
	char stamp[STAMP_LEN + 1];

	snprintf(stamp, sizeof(stamp), "t=%016llx n=%08x", (unsigned long long)now_ns, number);
	memcpy(event + sizeof(EVENT_HEAD) - 1, stamp, STAMP_LEN);
}

static inline void
die(const char *what)
{
	perror(what);
	exit(2);
}

/* "127.0.0.1:8080" */
static inline struct sockaddr_in
parse_address(const char *text)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	const char *colon = strrchr(text, ':');
	char host[64];

	if (!colon || (size_t)(colon - text) >= sizeof(host)) {
		fprintf(stderr, "not ADDRESS:PORT: %s\n", text);
		exit(2);
	}
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	address.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
		fprintf(stderr, "not an IPv4 address: %s\n", host);
		exit(2);
	}
	return address;
}

static inline void
raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static inline void
no_delay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

#endif
