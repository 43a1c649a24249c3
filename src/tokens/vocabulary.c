/* vocabulary.c - the tables as the build made them, one section of the binary.
 *
 * A build without vocabularies has empty ones. Pages are read from the file when a
 * count needs them, and shared by all processes of the binary.
 */
#include "tokens/vocabulary.h"

#define TABLE(name)                                                          \
	__asm__(".section .rodata\n"                                         \
	        ".balign 64\n"                                               \
	        ".globl sl_vocabulary_" #name "\n"                           \
	        "sl_vocabulary_" #name ":\n"                                 \
	        ".incbin \"" SL_VOCABULARY_DIR "/" #name ".bpe\"\n"          \
	        ".globl sl_vocabulary_" #name "_end\n"                       \
	        "sl_vocabulary_" #name "_end:\n"                             \
	        ".previous\n");                                              \
	extern const uint8_t sl_vocabulary_##name[] __attribute__((visibility("hidden"))); \
	extern const uint8_t sl_vocabulary_##name##_end[] __attribute__((visibility("hidden")))

TABLE(o200k_base);
TABLE(cl100k_base);

struct sl_slice
sl_vocabulary(enum sl_encoding encoding)
{
	const uint8_t *start = sl_vocabulary_o200k_base, *end = sl_vocabulary_o200k_base_end;

	if (encoding == SL_ENCODING_CL100K) {
		start = sl_vocabulary_cl100k_base;
		end = sl_vocabulary_cl100k_base_end;
	}
	return sl_slice_make((const char *)start, (size_t)(end - start));
}
