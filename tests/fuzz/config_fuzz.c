/* config_fuzz.c - any bytes as a configuration file.
 *
 * It loads or it is refused with a reason, in bounded time; a value that came
 * from the environment never stands in a message.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

#include "app/config_load.h"

#define CANARY "9x7canary5x3"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Names that the corpus uses; nothing of the real environment. */
static char *
env(const char *name)
{
	static char canary[] = CANARY, empty[] = "";

	return name[0] == 'O' || name[0] == 'A' ? canary : name[0] == 'E' ? empty : NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sl_slice text = sl_slice_make(size ? (const char *)data : "", size);
	const struct sl_config_source source = { .path = "/nonexistent/fuzz.yaml", .text = text,
		                                 .env = env };
	static struct sl_config_report report;
	struct sl_config *config;
	struct sl_buf out;

	if (sl_slice_search(text, SL_SLICE("canary")) >= 0)
		return 0;
	sl_config_report_init(&report, SL_SLICE("fuzz.yaml"));
	config = sl_config_load(&source, &report);
	assert((config == NULL) == (report.errors > 0));
	sl_buf_init(&out, 1024 * 1024);
	sl_config_report_print(&report, true, &out);
	assert(sl_slice_search(sl_buf_slice(&out), SL_SLICE("canary")) < 0);
	for (size_t i = 0; config && i < config->listen_count; i++)
		assert(config->listen[i].host.len > 0);
	for (size_t i = 0; config && i < config->model_count; i++)
		assert(config->models[i].name.len > 0 && config->models[i].deployment_count > 0);
	sl_config_free(config);
	sl_config_report_release(&report);
	sl_buf_release(&out);
	return 0;
}
