/* media.h - inline media: data URLs, base64, and what bytes really are. */
#ifndef SL_MODEL_MEDIA_H
#define SL_MODEL_MEDIA_H

#include "model/dialog.h"

/* Whether the text is a data URL at all ("data:", any case, white space before). */
bool sl_media_is_data_url(struct sl_slice url);
/* base64 as providers take it: alphabet, padding; white space taken out. */
bool sl_media_base64(struct sl_slice text, struct sl_arena *arena, struct sl_slice *out);
/* The type that the first bytes of base64 data prove; empty: not known. */
struct sl_slice sl_media_sniff(struct sl_slice base64);
/* The source of a part from a URL or a data URL: kind, type and data. The type is
 * corrected by the bytes (noted). A PDF makes the part a DOCUMENT, sound an AUDIO,
 * pictures an IMAGE, video a VIDEO. False: a data URL that is none. */
bool sl_media_from_url(struct sl_slice url, struct sl_arena *arena, struct sl_notes *notes,
                       struct sl_part *part);
/* The same for base64 data with a declared type, which may be empty. */
bool sl_media_from_base64(struct sl_slice type, struct sl_slice data, struct sl_arena *arena,
                          struct sl_notes *notes, struct sl_part *part);

#endif
