/* prompt.h - what a request asks, found without a tree. Private to shapes/.
 *
 * The APIs differ in what they call the list of messages and the settings of an
 * answer's form, so one reader does for all whose requests hold a prompt.
 */
#ifndef SL_SHAPES_PROMPT_H
#define SL_SHAPES_PROMPT_H

#include "shapes/shape.h"

/* A shape's read_prompt: the last two user turns that hold text. */
void sl_prompt_read(const struct sl_steer *steer, struct sl_arena *arena,
                    struct sl_prompt *out);

#endif
