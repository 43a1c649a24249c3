/* catalog_text.c - the catalogue in the binary: the file itself, byte for byte.
 * The path is that of the source tree, where the compiler runs. */
#include "model/catalog.h"

__asm__(".section .rodata\n"
        ".globl sl_catalog_begin\n"
        "sl_catalog_begin:\n"
        ".incbin \"catalog/models.csv\"\n"
        ".globl sl_catalog_end\n"
        "sl_catalog_end:\n"
        ".byte 0\n"
        ".previous\n");

extern const char sl_catalog_begin[] __attribute__((visibility("hidden")));
extern const char sl_catalog_end[] __attribute__((visibility("hidden")));

struct sl_slice
sl_catalog_builtin_text(void)
{
	return sl_slice_make(sl_catalog_begin, (size_t)(sl_catalog_end - sl_catalog_begin));
}
