/* tool_map.h - tool names and call ids where a target's rules are narrower than
 * the caller's.
 *
 * Both maps are pure functions of the text: what a caller replays maps to the
 * same text without any state, and in every process. What changes gets a hash of
 * the original behind it, so two names that look alike stay two. Names must also
 * come back: for that the changed ones of a request are kept in a table.
 */
#ifndef SL_MODEL_TOOL_MAP_H
#define SL_MODEL_TOOL_MAP_H

#include "model/dialog.h"

/* Letters and digits are always allowed. */
struct sl_id_rule {
	const char *also;    /* further bytes that are allowed; NULL: any byte is */
	size_t      max_len; /* 0: no limit */
	size_t      exact_len; /* 0; else ids are letters and digits of this length */
};

/* What SL_RULE_SHORT_CALL_IDS means. */
extern const struct sl_id_rule sl_short_ids;

struct sl_name_rule {
	const char *also;
	size_t      max_len;
	bool        letter_first; /* the first byte is a letter or '_' */
};

/* The id as the rule wants it; the id itself when it is fine. Empty: no memory. */
struct sl_slice sl_call_id_map(const struct sl_id_rule *rule, struct sl_slice id,
                               struct sl_arena *arena);
struct sl_slice sl_tool_name_map(const struct sl_name_rule *rule, struct sl_slice name,
                                 struct sl_arena *arena);

enum { SL_TOOL_NAMES_MAX = 512 };

struct sl_tool_name {
	struct sl_slice caller; /* as the caller wrote it */
	struct sl_slice target;
	bool            custom; /* a free-form tool that is a function at the target */
};

/* Tools whose name at the target is another, and free-form ones. */
struct sl_tool_names {
	const struct sl_tool_name *items;
	size_t                     count;
};

/* The table for a target. Texts are copied to the arena, so it may outlive the
 * dialog. Free-form tools are in it always: a target that has none sends functions.
 * False: out of memory, or more than SL_TOOL_NAMES_MAX need an entry. */
bool sl_tool_names_make(struct sl_tool_names *names, const struct sl_dialog *dialog,
                        const struct sl_name_rule *rule, struct sl_notes *notes,
                        struct sl_arena *arena);
/* What the caller called it; NULL: just so. */
const struct sl_tool_name *sl_tool_names_back(const struct sl_tool_names *names,
                                              struct sl_slice target);

#endif
