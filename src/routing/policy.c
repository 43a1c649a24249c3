/* policy.c - the list of policies, and what they share. */
#include "routing/policy.h"

static const struct sl_policy_ops *const policies[] = {
#define SL_POLICY(id) &sl_policy_##id,
#include "routing/policies.def"
#undef SL_POLICY
};

const struct sl_policy_ops *
sl_policy_find(struct sl_slice name)
{
	for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++)
		if (sl_slice_is(name, policies[i]->name))
			return policies[i];
	return NULL;
}

void
sl_policy_sort(struct sl_candidate *list, size_t count,
               int64_t (*key)(const struct sl_candidate *candidate))
{
	/* A handful of deployments: insertion keeps equal ones in order. */
	for (size_t i = 1; i < count; i++) {
		struct sl_candidate moving = list[i];
		int64_t rank = key(&moving);
		size_t at = i;

		for (; at > 0 && key(&list[at - 1]) > rank; at--)
			list[at] = list[at - 1];
		list[at] = moving;
	}
}
