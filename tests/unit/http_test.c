/* http_test.c - reason phrases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/http.h"

static void
every_status_has_a_phrase(void **state)
{
	(void)state;
	for (int status = -1; status < 1100; status++)
		assert_true(strlen(sl_http_reason(status)) > 0);
	assert_string_equal(sl_http_reason(404), "Not Found");
	assert_string_equal(sl_http_reason(431), "Request Header Fields Too Large");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_status_has_a_phrase),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
