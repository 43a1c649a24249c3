/* avx2.h - functions for processors with AVX2, in a binary for all of x86-64.
 *
 *     #ifdef SL_AVX2
 *     static SL_AVX2 size_t fast(...)    only called where sl_has_avx2()
 *     #endif
 *
 * Only where bytes are looked at by the megabyte; everything else is SSE2 or plain C.
 */
#ifndef SL_BASE_AVX2_H
#define SL_BASE_AVX2_H

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#include <stdbool.h>

#define SL_AVX2 __attribute__((target("avx2")))

static inline bool
sl_has_avx2(void)
{
	return __builtin_cpu_supports("avx2");
}
#endif

#endif
