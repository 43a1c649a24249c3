/* seal.h - a provider's reasoning state on its way through a caller's hands.
 *
 * What only one provider can read (signatures, encrypted reasoning) is given to
 * callers of another API as one token and comes back with the next turn:
 *
 *   "sluicev1" base64url( HMAC-SHA-256 of the rest, 16 bytes | u8 issuer length |
 *                         issuer | u8 kind | u32 payload length | payload | padding )
 *
 * The whole is legal base64url without '=' and legal in a tool call id. It is
 * authenticated, not secret: the caller could see it from the provider as well.
 * The key comes from the store, so tokens hold over restarts and on every process
 * with the same store; a token that does not verify is foreign text.
 */
#ifndef SL_SHAPES_SEAL_H
#define SL_SHAPES_SEAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/slice.h"

enum { SL_SEAL_KEY_SIZE = 32, SL_SEAL_PAYLOAD_MAX = 4 * 1024 * 1024 };
#define SL_SEAL_MARK "sluicev1"
/* Between a call's id and the token it carries. */
#define SL_SEAL_JOINT "__" SL_SEAL_MARK

struct sl_sealer {
	unsigned char key[SL_SEAL_KEY_SIZE];
};

enum sl_seal_kind {
	SL_SEAL_SIGNATURE = 1, /* of a readable thought, of a call, of text */
	SL_SEAL_REDACTED = 2,  /* the payload is the whole thought */
	SL_SEAL_NONE = 3,      /* nothing but who thought it: payload empty */
};

struct sl_sealed {
	enum sl_seal_kind kind;
	struct sl_slice   issuer;
	struct sl_slice   payload;
};

/* The token, on the arena. Empty: no memory, or the payload is too large. */
struct sl_slice sl_seal(const struct sl_sealer *sealer, const struct sl_sealed *what,
                        struct sl_arena *arena);
bool sl_seal_is_marked(struct sl_slice token);
/* False: no token of ours, or out of memory. */
bool sl_unseal(const struct sl_sealer *sealer, struct sl_slice token, struct sl_arena *arena,
               struct sl_sealed *out);
/* "id__token": the id, and what the token says (kind 0 when there is none that
 * verifies; the token is taken off the id in any case). */
struct sl_slice sl_unseal_id(const struct sl_sealer *sealer, struct sl_slice id,
                             struct sl_arena *arena, struct sl_sealed *out);

#endif
