"""
One GPU and a CPU: experts that do not fit
==========================================

Half of a model's experts fit on the GPU. A token that needs one of the others has it computed on
the CPU, or the expert is copied first. Which experts stay, and when is a copy worth its time? This
page answers with a recorded trace, and ends with a plan that an engine can follow.
"""

# %%
# The trace
# ---------
#
# A trace holds the experts that each token chose. This one comes with the package: a small model
# read source code. The first half is for planning. The second stands for what comes next.

from moe_costmodel import MissCost, RoutingTrace, headroom, plan_offload

trace = RoutingTrace.example("code")
planned, later = trace.split()
print(trace)

# %%
# The cost of a miss
# ------------------
#
# A step takes a base time, a time for each *miss* (an expert that the CPU computes), and a time for
# each *upload* (an expert that is copied to the GPU). These three were published for one machine.
# ``measure_misses`` measures them on yours.

cost = MissCost.published()
print(f"no miss {1e3 * cost.base:.2f} ms, each miss {1e3 * cost.per_miss:.3f} ms, "
      f"each upload {1e3 * cost.per_upload:.3f} ms")  # fmt: skip

# %%
# Is it worth building?
# ---------------------
#
# ``headroom`` fits lists and rules on the first half of the trace and replays them on the second.
# The last row is a bound: no rule can be faster, even if it knows the future.

found = headroom(trace, slots=16, cost=cost)
print(found)

# %%
# An upload costs as much as three misses. So caches that copy every expert they miss, like LRU,
# lose to a list of experts that never changes.
#
# A plan
# ------
#
# ``plan_offload`` divides the slots among the layers, and chooses the rule that did best on
# held-out traffic. It may also begin to upload once misses exceed what the list promises, which
# guards it against traffic that changes. Printed, a plan tells the time of a step, also on traffic
# that prefers other experts, and beside it that of a static list.

n_layers, n_experts = trace.topk_ids.shape[1], trace.n_experts
plan = plan_offload(planned, slots=n_layers * n_experts // 2, cost=cost)
print(plan)

# %%
# The picture shows the time of a step against the share of the experts that fit. Where the lines of
# a list and of the bound are close, nothing more can be gained.

figure = found.plot()
