/* openapi_test.c - the document tells of every route, and of nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "admin/openapi.h"
#include "base/json.h"

static void
every_route_is_told(void **state)
{
	const char *gap = admin_openapi_gap();

	(void)state;
	if (gap)
		fail_msg("%s: its route or its row in openapi.def is missing", gap);
}

static void
the_document_is_json(void **state)
{
	struct sl_json_error error;
	struct sl_buf out;

	(void)state;
	sl_buf_init(&out, 1 << 20);
	admin_openapi_write(&out);
	assert_false(out.failed);
	if (sl_json_validate(sl_buf_slice(&out), NULL, &error) != SL_OK)
		fail_msg("%s at byte %zu: %.60s", error.reason, error.offset,
		         out.ptr + (error.offset > 30 ? error.offset - 30 : 0));
	sl_buf_release(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_route_is_told),
		cmocka_unit_test(the_document_is_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
