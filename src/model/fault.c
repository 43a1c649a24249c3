/* fault.c - the fault table. */
#include "model/fault.h"

enum retry { NO, NEXT };

static const struct {
	int         status;
	const char *type;
	const char *code;
	const char *name;
	enum retry  retry;
} kinds[SL_FAULT_KINDS] = {
#define SL_FAULT_ROW(id, status, type, code, retry) { status, type, code, #id, retry },
	SL_FAULTS(SL_FAULT_ROW)
#undef SL_FAULT_ROW
};

int
sl_fault_status(const struct sl_fault *fault)
{
	return fault->status ? fault->status : kinds[fault->kind].status;
}

const char *
sl_fault_type(enum sl_fault_kind kind)
{
	return kinds[kind].type;
}

const char *
sl_fault_name(enum sl_fault_kind kind)
{
	return kinds[kind].name;
}

struct sl_slice
sl_fault_code(const struct sl_fault *fault)
{
	return fault->code.len ? fault->code : sl_slice_str(kinds[fault->kind].code);
}

bool
sl_fault_may_retry(enum sl_fault_kind kind)
{
	return kinds[kind].retry == NEXT;
}

void
sl_fault_set(struct sl_fault *fault, enum sl_fault_kind kind, struct sl_slice message)
{
	*fault = (struct sl_fault){ .kind = kind, .message = message };
}

void
sl_fault_set_memory(struct sl_fault *fault)
{
	sl_fault_set(fault, SL_FAULT_OVERLOADED,
	             SL_SLICE("The gateway is out of memory. Try again shortly."));
}
