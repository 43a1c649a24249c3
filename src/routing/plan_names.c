/* plan_names.c - a table without chains: the last name of a slot has it. */
#include "routing/plan_names.h"

#include "base/hash.h"

const struct sl_plan_name *
sl_plan_names_find(const struct sl_plan_names *names, uint64_t serial, struct sl_slice name)
{
	uint64_t hash = sl_hash(serial, name);
	const struct sl_plan_name *known = &names->list[hash % SL_PLAN_NAMES];

	return known->hash == hash && known->serial == serial &&
	               sl_slice_eq(sl_slice_make(known->text, known->len), name)
	           ? known
	           : NULL;
}

void
sl_plan_names_put(struct sl_plan_names *names, uint64_t serial, struct sl_slice name,
                  const struct sl_plan_target *target, bool from_alias)
{
	uint64_t hash = sl_hash(serial, name);
	struct sl_plan_name *known = &names->list[hash % SL_PLAN_NAMES];
	/* Of what lies elsewhere the distance is too long, in either direction. */
	size_t begin = (uintptr_t)target->model.ptr - (uintptr_t)name.ptr;
	bool within = begin < name.len && target->model.len <= name.len - begin;

	if (name.len == 0 || name.len > SL_PLAN_NAME_MAX)
		return;
	*known = (struct sl_plan_name){
		.serial = serial,
		.hash = hash,
		.target = *target,
		.within = within ? begin : SIZE_MAX,
		.from_alias = from_alias,
		.len = (uint8_t)name.len,
	};
	memcpy(known->text, name.ptr, name.len);
}
