"""Numbers that follow from pages of evidence, for the claims in `numbers.py`."""

from __future__ import annotations

import re
from collections.abc import Callable

NUMBER = re.compile(r"(?<![\w.\-/])\d[\d,]*(?:\.\d+)?(?=x?(?![\w]))")


def numbers_of(text: str) -> list[str]:
    """Return the numbers of a text, in order, as written."""
    return NUMBER.findall(text)


def value_of(number: str) -> float:
    """Return the value of a written number."""
    return float(number.replace(",", ""))


def section(text: str, title: str) -> str:
    """Return what stands under a heading, until the next one of any level."""
    return text.partition(f"# {title}\n")[2].partition("\n#")[0]


def column(text: str, name: str) -> list[float]:
    """Return the first number in each cell of the columns of that name, over all tables."""
    values, k = [], None
    for line in text.splitlines():
        cells = [cell.strip(" *") for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            k = None
        elif name in cells:
            k = cells.index(name)
        elif k is not None and (found := numbers_of(cells[k])):
            values.append(value_of(found[0]))
    return values


def ends_of(name: str) -> Callable[[str], list[float]]:
    """Return the least and the largest value of a column."""
    return lambda text: [min(column(text, name)), max(column(text, name))]


def row(text: str, name: str) -> list[float]:
    """Return the numbers of the first row of that name, without those in parentheses."""
    line = re.search(rf"^\| {re.escape(name)} \|(.*)$", text, re.MULTILINE)
    assert line is not None, name
    return [value_of(number) for number in numbers_of(re.sub(r"\(.*?\)", "", line.group(1)))]


# ------------------------------------------------------------------------------ derived numbers


def budgets(text: str) -> list[float]:
    """Percent of the final hypervolume after 1,000 to 10,000 evaluations, five objectives."""
    sizes = (1_000, 2_000, 5_000, 10_000)
    last = section(text, "5 objectives").rpartition("by evaluations:")[2]
    shares: list[float] = [7, 20_000]
    for name in ("bfs", "bp", "gau", "hotspot", "pf"):
        values = row(last, f"{name}-5")
        shares += [100 * values[k] / values[-1] for k in (1, 2, 4, 5)]
    return [*sizes, *shares]


def noc(text: str) -> list[float]:
    """Least and largest ratio to the best rival's hypervolume, and cases significantly better."""
    cases = re.findall(r"\| 1 of 9 \| [A-Z].* \| ([\d.]+) \| ([\d.]+) \| \d of 9 \|", text)
    ratios = [float(ratio) for ratio, _ in cases]
    return [min(ratios), max(ratios), sum(float(p) < 0.05 for _, p in cases)]


def to_the_rival(text: str) -> list[float]:
    """Fewest and most evaluations to the best rival's hypervolume with five objectives."""
    part = section(text, "5 objectives").partition("best rival's final hypervolume:")[2]
    counts = column(part.partition("\n\nComparison")[0], "evaluations")
    fewest, most = round(min(counts), -2), round(max(counts), -2)
    return [fewest, most, 20_000]


def knapsacks(text: str) -> list[float]:
    """Percent of the evaluations with which MOELA has the best rival's front of a knapsack."""
    found = re.findall(r"^\| random-\dD\S* \|.*\| (0\.\d+) \| [\d.]+x \|$", text, re.MULTILINE)
    shares = [100 * float(share) for share in found]
    return [min(shares), max(shares)]


def nearly_best(text: str) -> list[float]:
    """Smooth problems, and those with 99 % of the best hypervolume or more."""
    ratios = column(text, "ratio to it")
    return [len(ratios), sum(ratio >= 0.99 for ratio in ratios), 99]


def many_variables(text: str) -> list[float]:
    """Cases, those that MOELA and NSGA-III lead, ratios, and the least share of NSGA-III."""
    pattern = r"^\| (\w+), (\d+) variables \| (\d) of \d \| ([\w/ -]+) \| ([\d.]+)"
    rows = re.findall(pattern, text, re.MULTILINE)
    first = [float(ratio) for _, _, place, _, ratio in rows if place == "1"]
    others = [100 * float(ratio) for _, _, place, _, ratio in rows if place != "1"]
    behind = [row for row in rows if row[2] != "1" and row[3] == "NSGA-III"]
    least = re.findall(r"^\| NSGA-III \| [\d.]+ \| ([\d.]+) \|", text, re.MULTILINE)
    return [
        len(rows), len(first), len(behind), min(first), max(first), min(others), max(others),
        100 * float(least[0]), *{float(row[1]) for row in rows}, 5_000,
    ]  # fmt: skip


def few(text: str) -> list[float]:
    """Problems, those that MOELA leads after 300 and 1,000 evaluations, and its ratios."""
    values: list[float] = [300, 1000]
    for part in text.split("## After ")[1:]:
        ratios = column(part, "MOELA")
        lead = [ratio for ratio in ratios if ratio >= 1.0]
        values += [len(ratios), len(lead), min(lead), max(lead)]
        values += [100 * ratio for ratio in ratios if ratio < 1.0]
    return values


def first_hundred(text: str) -> list[float]:
    """Problems, those that MOELA leads among rivals of 100 evaluations, and its ratios there."""
    values: list[float] = [100]
    for part in text.split("## Problems on which nothing was chosen"):
        lines = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in part.splitlines()
            if line.startswith("| ") and not line.startswith(("| problem", "| ---"))
        ]
        ratios = [float(c[2]) / max(float(x) for x in c[3:6] if x) for c in lines]
        lead = [ratio for ratio in ratios if ratio > 1]
        seconds = [float(c[8]) for c in lines]
        values += [len(lines), len(lead), min(lead), max(lead)]
        values += [10 * min(seconds), 10 * max(seconds)]
        values += [100 * ratio for ratio in ratios if ratio < 1]
    return values


def means(text: str) -> list[float]:
    """Evaluations, and MOELA's mean over all functions by that of the best rival, by section."""
    values: list[float] = []
    for part in text.split("## After ")[1:]:
        row = next(line for line in part.splitlines() if line.startswith("| **all**"))
        ours, *others = (float(cell.strip(" *")) for cell in row.strip("|").split("|")[1:])
        values += [float(part.split()[0].replace(",", "")), ours / max(others)]
    return values


def processes(text: str) -> list[float]:
    """Problems with Gaussian processes, those that MOELA leads, and its percentages of theirs."""
    listed = text.partition("## Problems on which nothing was chosen")[0]
    shares = []
    for line in listed.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        theirs = [value_of(numbers_of(cell)[0]) for cell in cells[6:8] if numbers_of(cell)]
        if line.startswith("| ") and theirs:
            shares.append(100 * float(cells[2]) / max(theirs))
    return [len(shares), sum(share > 100 for share in shares), *shares]


def own_time(text: str) -> list[float]:
    """Milliseconds and ratios to NSGA-II by default; ratios without models, in batches of 50."""
    today = text.partition("## Version 0.1.0")[0]
    by_default = [line for line in today.splitlines() if line.startswith("| MOELA |")]
    spent = [numbers_of(line)[0] for line in by_default]
    ratios = [numbers_of(re.sub(r"\(.*?\)", "", line))[1] for line in by_default]
    plain = [
        numbers_of(re.sub(r"\(.*?\)", "", line.partition("|")[2].partition("off |")[2]))[1]
        for line in today.splitlines()
        if line.startswith("| MOELA, 50, models off |")
    ]
    ends = [ends(map(value_of, found)) for found in (ratios, plain) for ends in (min, max)]
    return [*(ends(map(value_of, spent)) / 1000 for ends in (min, max)), *ends, 50]


def without_surrogate(text: str) -> list[float]:
    """Ratios to MOELA without its surrogate: how many, how many above 1, their ends, and others."""
    values = {"MOELA": [], "no surrogate": []}
    for name, found in values.items():
        for line in re.findall(rf"^\| {name} \|(.*)$", text.partition("## All")[0], re.MULTILINE):
            if "(" in line:
                found += map(value_of, numbers_of(re.sub(r"\(.*?\)", "", line.replace("*", ""))))
    ratios = [a / b for a, b in zip(*values.values(), strict=True)]
    better = [ratio for ratio in ratios if ratio >= 1.0]
    worse = [100 * ratio for ratio in ratios if ratio < 1.0]
    return [300, len(ratios), len(better), min(better), max(better), *worse]


def hamming(text: str) -> list[float]:
    """Percent of its hypervolume that MOELA has without the Hamming-kernel model."""
    by_problem = [
        100 * float(x)
        for line in section(text, "By problem").splitlines()
        if re.match(r"\| no Hamming-kernel model \| \w+ \| 5,000 \| 7 \|", line)
        for x in re.findall(r"\| ([01]\.\d{3})(?= \|)", line)
    ]
    return [min(by_problem), max(by_problem)]


def no_restarts(text: str) -> list[float]:
    """Percent of its hypervolume that MOELA has without restarts, by problem."""
    lines = re.findall(r"^\| no restarts \|.*$", text, re.MULTILINE)[1:]
    values = [100 * float(x) for line in lines for x in re.findall(r"\| ([01]\.\d{3})", line)]
    low, *high = sorted(values)
    assert len(high) == 4
    return [low, min(high), 20]


def equal_time(text: str) -> list[float]:
    """Times, algorithms, cases won, cases, and MOELA's least, largest and median ratio."""
    cases = re.findall(
        r"^\| .* \| ([\d.]+) s \| ([\d.]+) \| .* \| ([\d.]+) \| ([\d.]+) \| [\d,]+ to",
        text,
        re.MULTILINE,
    )
    ratios = sorted(float(case[3]) for case in cases)
    median = (ratios[len(ratios) // 2 - 1] + ratios[len(ratios) // 2]) / 2
    # A ratio just below 1 is rounded to 1.
    won = sum(float(ours) >= float(its) and float(ratio) >= 1 for _, ours, its, ratio in cases)
    algorithms = len(re.findall(r"^\| .*", section(text, "All problems"), re.MULTILINE)) - 2
    times = {float(case[0]) for case in cases}
    return [*times, algorithms, won, len(ratios), ratios[0], ratios[-1], median]


def small_leads(text: str, *problems: str) -> list[float]:
    """Smallest and largest lead over the best rival at equal time on each problem, in percent."""
    leads = []
    for problem in problems:
        rows = re.findall(rf"^\| {problem} \| .* \| ([\d.]+) \| [\d,]+ to", text, re.MULTILINE)
        of_problem = [100 * (float(ratio) - 1) for ratio in rows]
        leads += [min(of_problem), max(of_problem)]
    return leads


def released(text: str) -> list[float]:
    """MOELA's hypervolume over that of each rival, under the released formulas."""
    values = {
        name: float(value)
        for name, value in re.findall(r"^\| ([\w/ -]+?) \| \**(\d\.\d{3}) \(", text, re.MULTILINE)
    }
    return [values["MOELA"] / value for value in values.values()]


def own_product(text: str) -> list[float]:
    """Least and largest gain of MOELA with both factors of the product as objectives, percent."""
    gains = []
    for line in re.findall(r"^\| \w+ \| [\d.]+ \|.*$", text, re.MULTILINE):
        cells = [float(re.match(r"[-+\d.]+", c.strip()).group()) for c in line.split("|")[3:8]]
        gains.append(100 * (1 - cells[4] / cells[0]))
    return [min(gains), max(gains)]


def long_runs(text: str) -> list[float]:
    """Numbers of problems that MOELA won, what rivals made, ratios on QAPs and a landscape."""
    rows = re.findall(
        r"^\| ([\w-]+) \| ((?:20,000|50,000|MOELA's).*?) \| .* \| ([\d.]+) \| ([\d,]+) \|$",
        text,
        re.MULTILINE,
    )
    at: dict[str, list[float]] = {}
    for _, title, ratio, _ in rows:
        at.setdefault(title, []).append(float(ratio))
    won = [sum(ratio >= 1.0 for ratio in ratios) for ratios in at.values()]
    made = [value_of(row[3]) for row in rows if row[1] == "MOELA's time"]
    made = [round(n, -3) for n in (min(made), max(made))]
    timed = {row[0]: float(row[2]) for row in rows if row[1] == "MOELA's time"}
    ahead = [ratio for name, ratio in timed.items() if name.lower().startswith(("kc", "qap"))]
    quick = [100 * float(r) for n, t, r, _ in rows if n == "mnk-100" and t.endswith("no models")]
    mnk = [100 * float(r) for n, t, r, _ in rows if n == "mnk-100" and t.startswith("20,000")]
    mnk.append(100 * timed["mnk-100"])
    return [
        *won, len(timed), *made, min(ahead), max(ahead), *mnk, *quick, len(ahead),
        20_000, 50_000, 50,
    ]  # fmt: skip


def no_sums(text: str) -> list[float]:
    """Percent of its hypervolume that MOELA has without sums over pairs: least, most, problems."""
    shares = []
    for block in text.split("\n## ")[1:]:
        parts = dict(re.findall(r"^\| (MOELA[^|]*?) \| ([\d.e+]+) \|", block, re.MULTILINE))
        if "MOELA, no sums over pairs" in parts:
            shares.append(100 * float(parts["MOELA, no sums over pairs"]) / float(parts["MOELA"]))
    return [min(shares), max(shares), len(shares), 20_000]


def two_workers(text: str) -> list[float]:
    """Speed-up of two workers at 10 ms, medians."""
    found = re.findall(r"^\| 10 ms .*, 2 workers against 1 \| ([\d.]+)", text, re.MULTILINE)
    return [min(map(float, found)), max(map(float, found)), 10]


def store(text: str) -> list[float]:
    """Percent that a store adds to runs of 1 ms an evaluation, medians."""
    found = re.findall(r"^\| 1 ms .*store on against off \| ([\d.]+)", text, re.MULTILINE)
    return [100 * (end(map(float, found)) - 1) for end in (min, max)] + [1]


# --------------------------------------------------------------------------------------- claims
