"""
Comparing five algorithms fairly
================================

One run of each algorithm proves nothing: random search can be lucky once. A fair comparison gives
all algorithms the same problem, operators and budget, and several seeds. It scores all evaluated
designs on one scale, and tests whether the difference could be luck.
"""

# %%
# The contest
# -----------
#
# The first problem is a quadratic assignment of twenty facilities with two kinds of flow. MOELA was
# made for such problems. The second is ZDT6, smooth and in ten real variables, for which it was
# not. All five algorithms get the same operators, and 1,500 evaluations for each of eight seeds.
# ``run_experiment`` makes the runs. With ``store="folder"`` it would keep them, and a second call
# would make only the missing ones.

from pymoo.algorithms.moo.moead import MOEAD
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.problems import get_problem
from pymoo.util.ref_dirs import get_reference_directions

import moela
from moela import MOELA, run_experiment
from moela.rivals import MOMAD
from problems import MultiObjectiveQAP

problems = {
    "QAP": MultiObjectiveQAP.random(n_facilities=20, seed=1),
    "ZDT6": get_problem("zdt6"),
}
directions = get_reference_directions("uniform", 2, n_partitions=49)


def operators_of(problem):
    """Return the operators of a problem; without any, pymoo uses its own for real variables."""
    return problem.operators() if hasattr(problem, "operators") else {}


algorithms = {
    "MOELA": MOELA,
    "MOMAD": MOMAD,
    "MOEA/D": lambda problem: MOEAD(directions, **operators_of(problem)),
    "NSGA-II": lambda problem: NSGA2(pop_size=50, **operators_of(problem)),
    "NSGA-III": lambda problem: NSGA3(directions, **operators_of(problem)),
}
results = run_experiment(problems, algorithms, seeds=8, budget=1_500, progress=False)
print(results)

# %%
# The verdict
# -----------
#
# `moela.compare` scores all designs that a run evaluated, not only those that the algorithm
# returned, so a small population is no disadvantage. Its summary has medians and quartiles,
# significant differences after correction for the number of comparisons, and caveats.

comparison = moela.compare(results, baseline="MOELA")
print(str(comparison).partition("How much sooner")[0])

# %%
# The rest of the summary says how much sooner MOELA was, in evaluations and in seconds. Count
# evaluations if yours are expensive.

for row in comparison.speedup():
    if row["algorithm"] == "MOELA":
        found = f"the final hypervolume of {row['rival']} after {row['evaluations']:,.0f}"
        print(f"{row['problem']:5s} {found} evaluations, {row['reached']} of {row['n']} runs")

# %%
# How certain is that?
# --------------------
#
# If the p-value after Holm's correction is below 0.05, luck is an unlikely explanation of the
# difference. A12 is the probability that a run of MOELA beats a run of the other algorithm. With
# four seeds or fewer, no test against four rivals could find anything, and the summary would say
# so.

for row in comparison.tests():
    verdict = f"{row['verdict']:18s} p = {row['p_holm']:.3f}, A12 = {row['a12']:.2f}"
    print(f"{row['problem']:5s} MOELA against {row['rival']:8s} {verdict}")

# %%
# Does it last?
# -------------
#
# An algorithm may lead early and be overtaken later, so look at the whole run, not only at its end.
# On the assignment:

qap_convergence = comparison.plot_convergence("QAP")

# %%
# On ZDT6, no algorithm reaches the reference point in the first third of the run. The axis of
# evaluations is logarithmic.

zdt_convergence = comparison.plot_convergence("ZDT6")

# %%
# The best algorithm on these problems need not be the best on yours, so try it on yours.
# :doc:`/how_to_choose` has tables of more problems. In the picture, a line bounds the region that
# half of an algorithm's runs attain on the assignment. The band runs from the region any run
# attains to the region all runs attain.

figure = comparison.plot_attainment("QAP")

# %%
# ``comparison.report("comparison.html")`` writes all of this, with pictures to zoom into, as one
# file that needs no network.

# sphinx_gallery_thumbnail_number = 3
