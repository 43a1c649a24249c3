/* compiler.h - what the compiler is told beyond the language.
 */
#ifndef SL_BASE_COMPILER_H
#define SL_BASE_COMPILER_H

/* The build zeroes automatic variables. A large array of which only the part that was
 * written is read opts out; whoever adds this says by what count it is read. */
#define SL_UNINIT __attribute__((uninitialized))

/* Refusals and failures: what leads to a call of such a function is laid out apart from
 * the usual way, which then takes less of the instruction cache. */
#define SL_COLD __attribute__((cold))

/* What only some requests need and would stand in the way of the others. */
#define SL_APART __attribute__((noinline))

/* 1 where a sanitizer watches: what it cannot see through is done the plain way there. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SL_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SL_SANITIZED 1
#endif
#endif
#ifndef SL_SANITIZED
#define SL_SANITIZED 0
#endif

#endif
