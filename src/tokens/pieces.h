/* pieces.h - a text falls into pieces before it falls into tokens. Private to tokens/.
 *
 * No token reaches across the end of a piece. The rules are those of the regular
 * expressions that the encodings are defined by; pieces.c says them.
 */
#ifndef SL_TOKENS_PIECES_H
#define SL_TOKENS_PIECES_H

#include <stddef.h>
#include <stdint.h>

#include "tokens/encoding.h"

/* What a character is, as far as the rules tell. */
enum sl_char_class {
	SL_CHAR_OTHER,   /* punctuation, symbols, controls */
	SL_CHAR_UPPER,   /* Lu, Lt */
	SL_CHAR_LOWER,   /* Ll */
	SL_CHAR_LETTER,  /* Lm, Lo: letters without case */
	SL_CHAR_MARK,    /* M */
	SL_CHAR_NUMBER,  /* N */
	SL_CHAR_SPACE,   /* White_Space without: */
	SL_CHAR_NEWLINE, /* CR, LF */
};

/* The class of the character at p < end and its size in bytes. A byte that begins no
 * well-formed UTF-8 is OTHER. */
enum sl_char_class sl_char_class_at(const uint8_t *p, const uint8_t *end, size_t *size);

/* The end of the piece that begins at p < end; behind p, at most end. A run of white
 * space is looked through to its end: calling again from there is linear altogether. */
const uint8_t *sl_piece_end(enum sl_encoding encoding, const uint8_t *p, const uint8_t *end);

#endif
