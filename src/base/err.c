/* err.c - texts of the error codes. */
#include "base/err.h"

const char *
sl_err_text(int err)
{
	switch (err) {
	case SL_OK:
		return "success";
#define SL_ERR_TEXT(id, value, text)                                          \
	case value:                                                           \
		return text;
		SL_ERRORS(SL_ERR_TEXT)
#undef SL_ERR_TEXT
	default:
		return "unknown error";
	}
}
