"""Sources of the numbers on the landing page, in the README and on the page about choosing.

A claim holds words of a page, the page of evidence that it cites, the script that makes the
evidence, and how the numbers follow from it: from passages that the evidence contains, or by a
function of its text. `test_numbers.py` fails if a number on these pages is in no claim, or if its
evidence no longer says it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.docs.evidence import (
    budgets,
    column,
    ends_of,
    equal_time,
    few,
    first_hundred,
    hamming,
    knapsacks,
    long_runs,
    many_variables,
    means,
    nearly_best,
    no_restarts,
    no_sums,
    noc,
    own_product,
    own_time,
    processes,
    released,
    small_leads,
    store,
    to_the_rival,
    two_workers,
    without_surrogate,
)

README, INDEX, CHOOSE = "README.md", "docs/index.md", "docs/how_to_choose.md"


@dataclass(frozen=True)
class Claim:
    """Numbers in words of pages, and where they come from.

    Parameters
    ----------
    text : str
        Words of a page, with single spaces, as they stand there.
    evidence : str
        File that holds the numbers.
    script : str or None
        Module of `tests.benchmarks` that makes them, with its first word, named in the evidence;
        None if the evidence is a file of code or settings.
    passages : tuple of str
        Passages of the evidence. Each number of `text` is one of theirs, rounded, as it stands or
        in percent.
    derived : callable, optional
        Function from the evidence's text to more numbers that `text` may contain.
    pages : tuple of str
        Pages that contain `text`.
    """

    text: str
    evidence: str
    script: str | None
    passages: tuple[str, ...] = ()
    derived: Callable[[str], Iterable[float]] | None = None
    pages: tuple[str, ...] = (CHOOSE,)


B = "docs/benchmarks/"
FRONT = (README, INDEX)

CLAIMS = [
    # ------------------------------------------------------------------ landing page and README
    Claim("Python 3.11 or newer", "pyproject.toml", None, ('requires-python = ">=3.11"',),
          pages=FRONT),
    Claim("6 to 25 %", B + "other_libraries.md", "search other_libraries", derived=ends_of("share"),
          pages=FRONT),
    Claim("of 5,000 simulations", B + "other_libraries.md", "search other_libraries",
          ("--budget 5000",), pages=FRONT),
    Claim("ean rank 1.1 among six algorithms over 38 test problems, where 1 means first on every "
          "problem; the next algorithm had 3.5", B + "smooth.md", "search smooth",
          ("| MOELA | 1.14 | 0.995 |", "| NSGA-II | 3.46 | 0.000 | 0.0000 |"),
          lambda text: [*nearly_best(text), 1], pages=FRONT),
    Claim("1,005", "docs/evaluation.md", "survival", ("1,005 kills at random moments",),
          pages=FRONT),
    Claim("on 16 GPUs", "tests/benchmarks/pictures.py", None,
          ("Qwen3-30B-A3B on 16 H200 with SGLang",), pages=FRONT),
    Claim("arXiv 2303.06169", "CITATION.cff", None, ("arXiv.2303.06169",),
          lambda text: [2303.06169],
          pages=(README,)),
    Claim("arXiv 2303.06182", "CITATION.cff", None, ("arXiv.2303.06182",),
          lambda text: [2303.06182],
          pages=(README,)),
    # -------------------------------------------------------------------- is it the right tool?
    Claim("up to 150 evaluations in all", "moela/search/moela.py", None, ("150",)),
    Claim("in 15 of 15 cases", B + "noc.md", "search noc",
          derived=lambda text: [len(re.findall(place, text))
                                for place in (r"\| 1 of 9 \| [A-Z]", r"\| \d of 9 \| [A-Z]")]),
    Claim("1.01 to 1.68 times the hypervolume of the best rival, significantly more in 14 of them",
          B + "noc.md", "search noc", derived=noc),
    Claim("the ratio was 1.70", B + "noc_released.md", "search noc_released",
          ("| MOEA/D batch | 1.704 |",)),
    Claim("on 13 of 13 problems, significantly against all of them on 12. The next algorithm had a "
          "mean rank of 3.69", B + "classic.md", "search classic", ("| MOEA/D batch | 3.69 |",),
          lambda text: [column(text, "place").count(1), len(column(text, "place")),
                        len(re.findall(r"\| (\d) of \1 \|$", text, re.M))]),
    Claim("99.99 to 100 % of the exact hypervolume on 10 facilities, and 1.15 to 2.58 times the "
          "hypervolume of the best rival on 20 and 30", B + "classic.md", "search classic",
          ("**100.00 (100.00–100.00)** | **99.99 (99.99–100.00)** |", "MOEA/D batch | 2.581 |",
           "| KC20-2fl-1rl | 1 of 8 | NSGA-II | 1.151 |"), lambda text: [10, 20, 30]),
    Claim("with 5 to 10 % of the", B + "classic.md", "search classic", derived=knapsacks),
    Claim("After 10,000 evaluations, MOELA was first of five algorithms on nine of ten problems, "
          "with 1.003 to 1.03 times the hypervolume of the best rival on smooth ones. On WFG9 with "
          "eight objectives it had 97 % of", B + "many_objectives.md", "search many_objectives",
          ("of 10,000 evaluations", "1.003 |", "1.027 |", "| 0.973 |")),
    Claim("mean rank 1.1 over the 38 test problems, the next of six algorithms 3.5. It reached "
          "99 % of the best hypervolume or more on 37 of them", B + "smooth.md", "search smooth",
          ("| MOELA | 1.14 | 0.995 |", "| NSGA-II | 3.46 | 0.000 | 0.0000 |"), nearly_best),
    Claim("After 5,000 evaluations of four problems, each with 100, 300 and 1,000 variables, MOELA "
          "was first of six algorithms in 7 of 12 cases, with 1.01 to 1.36 times the hypervolume "
          "of the best rival. In the other cases it had 90 to 99.9 % of the best rival's. NSGA-III "
          "led in 4 of these, and had 73 % of MOELA's hypervolume on ZDT4 with 1,000 variables",
          B + "many_variables.md", "search many_variables", derived=many_variables),
    Claim("it had 97 % of MOEA/D's hypervolume", B + "smooth.md", "search smooth",
          ("| zdt4 | 2 of 7 | MOEA/D | 0.967 |",)),
    Claim("(hypervolume 0)", B + "smooth.md", "search smooth", ("| dtlz3 | 1 of 7 |", "| 0.00 (0")),
    Claim("On 165 problems of ten variables, MOELA was first of six algorithms on 88 % after 1,000 "
          "evaluations, on 74 % after 3,000, and on 55 % after 10,000. COMO-CMA-ES was then first "
          "on 58 %", B + "bbob.md", "search bbob",
          ("55 functions of two objectives", "three instances of each", "After 1,000 evaluations",
           "| first on | 88% |", "After 3,000 evaluations", "| first on | 74% |",
           "After 10,000 evaluations", "| first on | 55% | 13% | 29% | 33% | 14% | 58% |"),
          derived=lambda text: [55 * 3]),
    Claim("first on all 14 problems, significantly against every rival on 11", B + "smooth.md",
          "search smooth",
          derived=lambda text: [len(re.findall(r"^\| mw\d+ \| 1 of 6", text, re.M)),
                                len(re.findall(r"^\| mw\d+ \| .*\| 5 of 5 \|$", text, re.M))]),
    Claim("at most the first 100 designs, or 200", "moela/bayesian/few.py", None,
          ("= 150, 100, 200",)),
    Claim("After 300, MOELA had 1.00 to 5.3 times the hypervolume of the best of four rivals on "
          "23 of 25 problems: smooth, classic, and networks-on-chip. On ZDT4 it had 98.2 % of the "
          "best rival's, and 94.6 % on WFG9. After 1,000 it was first of five on 24 of 25, with "
          "1.00 to 4.2 times, and had 95.4 % on WFG9",
          B + "few_evaluations.md", "search few_evaluations", derived=few),
    Claim("After 300, MOELA had 1.00 to 2.1 times the hypervolume of the best of three rivals on "
          "all 13 functions. After 1,000 it had 1.00 to 1.9 times on 12 of 13, and 99.5 % on a set "
          "cover",
          B + "few_functions.md", "search few_functions", derived=few),
    Claim("After 300, MOELA had 1.06 to 2.8 times the hypervolume of the best of four rivals on "
          "7 of 8 functions, and 99.9 % on a portfolio. After 1,000 it had 1.00 to 2.1 times on "
          "7 of 8, and 89.7 % where only one of all bits can improve an objective. After 5,000 it "
          "had 1.00 to 1.9 times on all 8",
          B + "discrete_functions.md", "search discrete_functions",
          derived=lambda text: [*few(text), 5000]),
    Claim("After 300, MOELA was first of five algorithms on all 8, with 1.02 to 2.0 times the "
          "hypervolume of the best rival. After 1,000 it was first on all 8 again, with 1.07 to "
          "2.6 times", B + "orders.md", "search orders", derived=few),
    Claim("MOELA was first of five algorithms on all 6, with 1.11 to 1.29 times the hypervolume of "
          "the best rival after 100 evaluations, 1.05 to 1.21 times after 300, and 1.01 to 1.04 "
          "times after 1,000", B + "mixed_orders.md", "search mixed_orders",
          derived=lambda text: [*few(text), 100]),
    Claim("with 20 members", "tests/benchmarks/search/functions.py", None, ("pop_size=20",)),
    Claim("50 by default", "moela/search/moela.py", None, ("n_subproblems: int = 50",)),
    Claim("runs of up to 1,000 evaluations have 20 at most", "moela/bayesian/few.py", None,
          ("(10, 20)", "_FEW = 1000")),
    Claim("Up to 150 evaluations", "moela/search/moela.py", None, ("150",)),
    Claim("After 100 (21 seeds), MOELA was first on all 13 problems. It had 1.06 to 6.3 times "
          "the hypervolume of the best of TPE, NSGA-II and batched MOEA/D",
          B + "first_hundred.md", "first_hundred",
          ("| noc bfs, 5 objectives | 21 |",), first_hundred),
    Claim("On nine more problems it was first on eight. On the other one, WFG1, it had 77 % of TPE",
          B + "first_hundred.md", "first_hundred", derived=first_hundred),
    Claim("1.21 times that of TPE after 100 evaluations, and 1.11 times after 300",
          B + "few_bbob.md", "search few_bbob", derived=means),
    Claim("After 100, MOELA takes 8 to 36 ms for each evaluation", B + "first_hundred.md",
          "first_hundred", derived=first_hundred),
    Claim("After 120 s of process time", "tests/benchmarks/first_hundred.py", None,
          ("= 20, 120.0",)),
    Claim("ran on 12 of the first 13 problems", B + "first_hundred.md", "first_hundred",
          derived=lambda text: [*processes(text), *first_hundred(text)]),
    Claim("in some cases before 100 evaluations. On 11 problems, MOELA had more hypervolume than "
          "the better of the two. On PressureVessel it had 98 %",
          B + "first_hundred.md", "first_hundred",
          derived=lambda text: [*processes(text), *first_hundred(text)]),
    Claim("0.08 to 0.36 ms for an evaluation by default, which is 2.4 to 10.8 times NSGA-II's own "
          "time. Without models and with batches of 50 it takes 0.70 to 1.2 times NSGA-II's time",
          B + "overhead.md", "overhead", derived=own_time),
    Claim("An evaluation of a network-on-chip takes 39 microseconds", B + "noc_speed.md",
          "noc_speed", ("evaluation                            38.5",)),
    Claim("After the same process time of 1, 2 and 5 s, MOELA was first of 14 algorithms in 42 of "
          "42 cases (seven seeds). Its hypervolume was 1.007 to 1.75 times that of the best rival, "
          "1.170 in the median", B + "equal_time.md", "equal_time", derived=equal_time),
    Claim("first on six of seven after 20,000 evaluations, and on all seven after 50,000. All "
          "rivals then ran for the process time of MOELA's first 20,000. The best ones made 51,000 "
          "to 214,000 evaluations in it, and MOELA was first on six of seven. It had 1.10 to 2.38 "
          "times the hypervolume of the best rival on the QAPs, where it finds out that costs are "
          "sums over pairs of facilities. On the MNK-landscape it had 98.5 % of the best rival's "
          "after as many evaluations, and 90 % at equal time. With `batch_size=50`, "
          "`n_searches=5` and `models=None` it had 102 % at equal time",
          B + "long_runs.md", "search long_runs", derived=long_runs),
    Claim("29 to 84 % of its hypervolume on four QAPs after 20,000 evaluations",
          B + "long_runs.md", "search long_runs", derived=no_sums),
    # --------------------------------------------------------------- where it falls short, guides
    Claim("hotspot, 5 to 6 % on bp, and 2 to 7 % on pf", B + "equal_time.md", "equal_time",
          derived=lambda text: small_leads(text, "bp-3", "pf-3"), pages=(B + "README.md",)),
    Claim("0.7 to 1.1 % on hotspot", B + "equal_time.md", "equal_time",
          derived=lambda text: small_leads(text, "hotspot-3"), pages=(B + "README.md",)),
    Claim("In the median of all 42 cases it has 1.170 times", B + "equal_time.md", "equal_time",
          derived=equal_time, pages=(B + "README.md",)),
    Claim("8 to 36 ms an evaluation", B + "first_hundred.md", "first_hundred",
          derived=first_hundred, pages=(B + "README.md", "docs/architecture.md", "CHANGELOG.md")),
    Claim("1.91 times MOOS, 4.2 times NSGA-II, 7.8 times MOEA/D", B + "noc_released.md",
          "search noc_released", derived=released, pages=("docs/reproduction.md",)),
    Claim("released formulas 12.5 times fewer", B + "noc_released.md", "search noc_released",
          ("| 12.5x |",), pages=("docs/reproduction.md",)),
    Claim("a product that is 3 to 12 % lower", B + "noc_edp.md", "noc_edp", derived=own_product,
          pages=("docs/reproduction.md",)),
    Claim("it ends at 1.005 to 3.5 times", B + "plug_in.md", "search plug_in",
          derived=ends_of("at 100%"), pages=("docs/plugins.md",)),
    # ------------------------------------------------------------------------- which algorithm
    Claim("drops to 94.5 % on a QAP of 20 facilities, and stays at 99 % or more on four other",
          B + "ablations.md", "search ablations", derived=no_restarts),
    Claim("of mean ranks 4.1 and 3.4 over the network-on-chip cases", B + "noc.md", "search noc",
          ("| MOOS | 4.13 |", "| MOO-STAGE | 3.40 |")),
    Claim("it has a mean rank of 4.0", B + "noc.md", "search noc", ("| MOEA/D batch | 4.00 |",)),
    Claim("to reach at least 100 % of the hypervolume that it has at the end", B + "plug_in.md",
          "search plug_in", derived=lambda text: [100 * min(column(text, "at 33%"))]),
    # ---------------------------------------------------------------------------------- budget
    Claim("after 20,000 evaluations ([noc](benchmarks/noc.md), medians of seven seeds): "
          "| evaluations | bfs | bp | gau | hotspot | pf | |---|---|---|---|---|---| "
          "| 1,000 | 62 | 77 | 57 | 91 | 68 | | 2,000 | 70 | 81 | 70 | 94 | 78 | "
          "| 5,000 | 83 | 93 | 78 | 95 | 90 | | 10,000 | 91 | 96 | 91 | 97 | 95 | "
          "So the first 2,000", B + "noc.md", "search noc", derived=budgets),
    Claim("With 900 to 2,300 evaluations, MOELA has the hypervolume that its best rival has "
          "after 20,000", B + "noc.md", "search noc", derived=to_the_rival),
    Claim("160 variables: the PE of 64 tiles, and 96 links", "docs/noc.md", None,
          ("64-core", "96 on the paper's chip"), lambda text: [64 + 96]),
    Claim("about 15 evaluations per variable, and most of the front takes 60", B + "noc.md",
          "search noc", derived=lambda text: [2_400 / 160, 9_600 / 160]),
    # ----------------------------------------------------------------------------- other knobs
    Claim("time was 4.37 times NSGA-II's by default, and 1.46 times with batches of 50 and five",
          B + "overhead.md", "overhead",
          ("| MOELA | 161 (157–177) | 4.37 |", "| MOELA, 50, 5 searches | 52 (48–54) | 1.46 |")),
    Claim("two for up to 1,000 evaluations", "moela/search/moela.py", None, ("1,000",)),
    Claim("after 300 evaluations, five searches had 99 % of the hypervolume of two; after 5,000, "
          "two searches had 101 % of that of five. But with five objectives on the "
          "network-on-chip, two searches had 96.5 % after 5,000",
          B + "ablations.md", "search ablations",
          ("| 300 | 7 | 1.000 | 0.978 | 0.943 | 0.999 | 1.029 | 0.990 |",
           "| 5,000 | 5 | 1.008 | 0.965 | 1.108 | 1.001 | 0.990 | 1.013 |")),
    Claim("MOELA had 88 % of its hypervolume over ten problems, and 66 % on", B + "ablations.md",
          "search ablations", ("| 5,000 | 5 | 0.899 | 0.664 | 0.918 | 0.976 | 0.961 | 0.875 |",)),
    Claim("MOELA had 87 to 103 % of its hypervolume on nine QAP and MNK problems, 95 %",
          B + "ablations.md", "search ablations", ("| 0.952 | 1 of 9 |",), hamming),
    Claim("On 16 of 18 problems, after 300 evaluations, both together multiplied the "
          "hypervolume by 1.00 to 2.8. On the other two they reduced it: to 84 % on WFG1, and to "
          "96 % on WFG9",
          B + "smooth_early.md", "search smooth_early",
          derived=without_surrogate),
    # ---------------------------------------------------------------------- where evaluations run
    Claim("| under 1 ms, vectorized | `Evaluator()`, or no evaluator | "
          "[evaluation](evaluation.md): overheads | | 1 ms or more", "docs/evaluation.md", None,
          ("take 1 ms or more",)),
    Claim("1.78 to 1.91 times as fast with two workers, 10 ms each", "docs/evaluation.md",
          "evaluator", derived=two_workers),
    Claim("such runs were among the 1,005", "docs/evaluation.md", "survival",
          ("1,005 kills at random moments, resumed each time: serial, two workers, a worker with a "
           "timeout",)),
    Claim("2.3 times as many evaluations an hour; after 1,000, 98.5 to 100 %",
          B + "asynchronous.md", "search asynchronous", ("| asynchronous | 75,001 | 2.25 |",
          "after 1,000"), ends_of("ratio")),
    Claim("1,005 kills at random moments lost no committed evaluation", "docs/evaluation.md",
          "survival", ("1,005 kills at random moments",)),
    Claim("a store costs 3 to 7 % at 1 ms", "docs/evaluation.md", "evaluator",
          derived=store),
    # ------------------------------------------------------------------------------- indicators
    Claim("exact up to 10,000 points in five", "docs/comparing.md", None,
          ("Exact up to 10,000 points in 5 objectives",)),
    Claim("no p-value is below 0.008", "docs/how_to_choose.md", None,
          derived=lambda text: [2 / 252]),  # both orders of the 252 ways to split ten runs
    # ------------------------------------------------------------------------------- deployment
    Claim("with 16 sequences, 0.383 of the accesses miss, against 0.881", "docs/moe_costmodel.md",
          "moe_parts", ("| intent, 16 | 0.383 | 0.818 | 0.881 | 0.424 | 0.383 | 0.318 |",
                            "at 16 sequences")),
    Claim("from 3–33 % above the optimum to 0 %", "docs/moe_costmodel.md", "moe_parts",
          ("3 to 33 % for greedy, 3 to 33 % for anti-correlation, 0.0 % for swaps",)),
    Claim("with 32 copies, the mean load is 0.99 of the largest on the same workload, and 0.67 to "
          "0.99 on another", "docs/moe_costmodel.md", "moe_parts",
          ("with 32 replicas 0.99 |", "with 32 replicas 0.67 to 0.99 |")),
]  # fmt: skip
