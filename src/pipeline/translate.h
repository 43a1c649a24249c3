/* translate.h - the lane of an attempt whose provider speaks another API.
 *
 *   same API:  the caller's bytes, spliced; the reply's bytes, read in passing
 *   another:   body -> dialog -> body;  frames -> flow -> frames   (this file)
 *
 * The lane is chosen per attempt, so a failover may change it. The body is decoded
 * once, whatever the number of attempts, and encoded for each. Also here: a request
 * of the same API that carries sealed reasoning of another provider (shapes/seal.h),
 * which only the dialog can take apart.
 *
 * owner: loop. A lane lives on the ask's exchange until the next attempt begins or
 * the ask is gone.
 */
#ifndef SL_PIPELINE_TRANSLATE_H
#define SL_PIPELINE_TRANSLATE_H

#include "providers/provider.h"
#include "shapes/codec.h"

struct sl_ask;
struct sl_header;
struct sl_plan_target;

/* What was decoded once. On the ask's front. */
struct sl_translation {
	struct sl_dialog dialog;
	struct sl_notes  notes;
	struct sl_fault  fault; /* when failed: why no target can do it */
	bool             decoded, failed;
};

struct sl_lane {
	const struct sl_shape_ops *from, *via;
	enum sl_framing        framing;  /* of the provider's stream */
	struct sl_flow         flow;
	struct sl_fold         fold;     /* of a reply that is not streamed */
	struct sl_codec_caller caller;
	struct sl_tool_names   names;
	struct sl_slice        answer_tool; /* whose call is the answer (codec.h); empty: none */
	struct sl_notes        notes;    /* their places are on the front */
	/* Not the exchange's, which moves when its caller leaves (drain.h). */
	struct sl_arena        arena;
	struct sl_arena        frame;    /* of one frame, emptied behind it */
	void                  *reader, *writer;
	struct sl_buf          kept;     /* a streamed answer as a whole, to be kept (stored.h) */
	struct sl_buf          out;      /* what is to go to the caller */
	bool                   streaming;
	int64_t                text_bytes;
	struct sl_slice        error;    /* of the flow, on the arena */
	enum sl_fault_kind     error_kind;
};

/* Whether a provider can serve a shape, in its own or another API. */
bool sl_lane_reaches(const struct sl_provider_kind *kind, const struct sl_shape_ops *shape,
                     bool own_shape_only);
/* Whether nobody but the gateway can answer for the target: a count of tokens, where the
 * provider has no way to ask for one (count.h). */
bool sl_lane_ends_here(const struct sl_ask *ask, const struct sl_plan_target *target);
/* Whether the request, or else its key, wants nothing lost. */
bool sl_lane_is_strict(const struct sl_ask *ask);
/* Whether an attempt at the target speaks another API than the caller. */
bool sl_lane_translates(const struct sl_ask *ask, const struct sl_plan_target *target);
/* The dialog that an attempt at the target would encode, and with what; it takes data
 * only where *inline_only is set. NULL: none, its lane is the caller's bytes. */
struct sl_dialog *sl_lane_dialog(struct sl_ask *ask, const struct sl_plan_target *target,
                                 const struct sl_codec_ops **codec, bool *inline_only);
/* Chooses the lane of an attempt: ask->lane, NULL for the caller's bytes. SL_OK,
 * SL_ENOMEM. */
enum sl_err sl_lane_choose(struct sl_ask *ask, const struct sl_plan_target *target);
/* Makes the body for the target. SL_EUNSUPPORTED: ask->front->refused says why. */
enum sl_err sl_lane_encode(struct sl_ask *ask, const struct sl_shape_target *target,
                           struct sl_forward *out);
/* Where the translated request goes. */
void sl_lane_where(const struct sl_ask *ask, struct sl_provider_request *where);
void sl_lane_close(struct sl_ask *ask);
/* The same for one that was taken from its ask; may be NULL. */
void sl_lane_release(struct sl_lane *lane);

/* The reply. Frames and their end fill lane->out and the ask's facts. */
void sl_lane_frame(struct sl_ask *ask, struct sl_slice event, struct sl_slice data);
void sl_lane_end(struct sl_ask *ask);
/* The whole reply that is held becomes the caller's, streamed or not. */
void sl_lane_whole(struct sl_ask *ask);
/* The provider's error that is held becomes the caller's; returns its status. */
int sl_lane_error(struct sl_ask *ask);
/* The stream that has begun ends with a fault. */
void sl_lane_write_fault(struct sl_ask *ask, const struct sl_fault *fault, struct sl_buf *out);

/* Fields: the caller's own are of another API, so few of either side travel. */
bool sl_lane_passes_field(struct sl_slice name);
size_t sl_lane_fields(struct sl_ask *ask, struct sl_header *fields, size_t count);
/* X-Gateway-Translation-Warnings; empty: nothing changed. Also noted in the record. */
struct sl_slice sl_lane_warnings(struct sl_ask *ask);

#endif
