/* compiler.h - what the compiler is told beyond the language.
 */
#ifndef SL_BASE_COMPILER_H
#define SL_BASE_COMPILER_H

/* The build zeroes automatic variables. A large array of which only the part that was
 * written is read opts out; whoever adds this says by what count it is read. */
#define SL_UNINIT __attribute__((uninitialized))

/* What is known of a pointer is forgotten: the compiler makes one calloc of a malloc and the
 * memset behind it, and glibc's calloc passes its cache of small blocks by. */
#define SL_LAUNDER(ptr) __asm__("" : "+r"(ptr))

#endif
