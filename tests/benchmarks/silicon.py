"""Composed and calibrated serving times against the measured points of aiconfigurator-core.

    python -m tests.benchmarks.silicon            # all points: composed in ten minutes; resumes
    python -m tests.benchmarks.silicon --quick    # 400 points, drawn with a fixed seed

Aggregated points are predicted with each pair of architecture and GPU left out; DeepSeek-R1 and V3
are one architecture. A calibration sees no point of the pair that it predicts, and neither its
settings nor its features were chosen by pair. Everything is computed by the code of the tree, and
kept in ``.benchmarks`` until a source of the packages changes. A sample has larger errors than all
points, since fewer pairs and points are learned from.
"""

from __future__ import annotations

import numpy as np

from moe_costmodel.silicon.calibration import CalibrationData, ServingCalibration
from moe_costmodel.silicon.first_token import EngineWeights
from moe_costmodel.silicon.sample import ServingPoint, read_sample
from moe_costmodel.silicon.serving import ServingEstimate, estimate_of
from moe_costmodel.silicon.step import SiliconModel
from tests.benchmarks import harness

TARGETS = {"tpot": "time per token", "ttft": "time to first token"}
ENGINES = ("trtllm", "sglang", "vllm")
SAMPLE = 400  # points of --quick


def estimates(gpu: str, backend: str, numbers: list[int]) -> list[ServingEstimate]:
    """Compose points of the sample by the tables of a GPU and an engine."""
    model, points = SiliconModel(gpu, backend), read_sample()
    return [estimate_of(model, points[i]) for i in numbers]


def composed(size: int | None = None) -> CalibrationData:
    """Return all measured points, or some that are drawn, with their composed times."""
    points = read_sample()
    numbers = np.sort(np.random.default_rng(0).permutation(len(points))[:size]).tolist()
    compose, found = harness.computed().cache(estimates), {}
    tables = [(points[i].gpu, points[i].backend) for i in numbers]
    for key in sorted(set(tables)):
        own = [i for i, table in zip(numbers, tables, strict=True) if table == key]
        found |= dict(zip(own, compose(*key, own), strict=True))
    return CalibrationData.of([points[i] for i in numbers], [found[i] for i in numbers])


def of_pair(data: CalibrationData, target: str, group: int) -> np.ndarray:
    """Return seconds and both ends of the interval of a pair, predicted from the others, [3, n]."""
    model = ServingCalibration(target).fit(data, np.flatnonzero(data.groups != group))
    times = model.predict(data, np.flatnonzero(data.groups == group))
    return np.stack([times.seconds, times.low, times.high])


def predicted(data: CalibrationData, target: str) -> np.ndarray:
    """Return seconds and both ends of the interval of each point with experts, [3, n]."""
    predict, out = harness.computed().cache(of_pair), np.full((3, len(data)), np.nan)
    for group in pairs(data):
        out[:, data.groups == group] = predict(data, target, group)
    return out


def pairs(data: CalibrationData) -> list[int]:
    """Return the numbers of the pairs whose architecture has experts."""
    return np.unique(data.groups[data.moe == 1]).tolist()


def table(data, target, times):
    """Print a line a pair; return errors and whether intervals hold by pair, with experts."""
    errors, inside = {}, {}
    without = np.abs(data.composed[target] / data.measured[target] - 1)
    print(f"\n{target}: pair, points, median error composed, calibrated, inside the interval")
    for group in pairs(data):
        rows = data.groups == group
        (seconds, low, high), measured = times[:, rows], data.measured[target][rows]
        errors[group] = np.abs(seconds / measured - 1)
        inside[group] = (measured >= low) & (measured <= high)
        print(
            f"  {data.labels[group]:42s} {rows.sum():4d} {np.median(without[rows]):7.1%} "
            f"{np.median(errors[group]):7.1%} {inside[group].mean():6.0%}"
        )
    return errors, inside


def by_part(data, times):
    """Print the median errors of the time to the first token by engine, and by division known."""
    moe, measured = data.moe == 1, data.measured["ttft"]
    error = times[0] / measured - 1
    engines = data.features[:, [data.names.index(name) for name in ENGINES]].argmax(axis=1)
    for number, name in enumerate(ENGINES):
        rows = moe & (engines == number)
        print(f"time to first token, {name}: {rows.sum()} points, {median(error[rows]):.1%}")
    alone = [parts_alone(data, group) / measured[data.groups == group] - 1 for group in pairs(data)]
    print(f"time to first token, weighted parts without trees: {median(np.concatenate(alone)):.1%}")
    few = with_few(error[moe], data.groups[moe])
    print(f"time to first token, three points of the pair measured: {few:.1%}")


def median(errors):
    return np.median(np.abs(errors))


def parts_alone(data, group):
    """Return the times of a pair by the weights of parts that the other pairs have."""
    rows = np.flatnonzero((data.groups != group) & (data.known == 1))
    arrays = data.parts, data.measured["ttft"], data.engine, data.groups
    weights = EngineWeights(0.1).fit(*(array[rows] for array in arrays))
    out = data.groups == group
    return weights.predict(data.parts[out], data.engine[out])


def with_few(errors, groups, number=3, draws=50):
    """Return the median error if a few points of each pair correct the others.

    Three quarters of the median of their logarithms are taken away.
    """
    rng = np.random.default_rng(0)
    found = []
    for group in np.unique(groups):
        logarithms = np.log1p(errors[groups == group])
        for _ in range(draws):
            order = rng.permutation(len(logarithms))
            shift = 0.75 * np.median(logarithms[order[:number]])
            rest = np.abs(np.expm1(logarithms[order[number:]] - shift))
            found.append(rest)
    return np.median(np.concatenate(found))


def repeats():
    """Print how far measurements of the same system on other days or versions are apart."""
    alike: dict[tuple, dict[tuple, ServingPoint]] = {}
    for point in read_sample():
        if point.shape.experts is not None:
            types = tuple(sorted(point.shape.dtypes.items()))
            key = (point.architecture, point.gpu, point.backend, types, point.layout,
                   point.input_tokens, point.output_tokens, point.concurrency)  # fmt: skip
            # Rows that were published twice are one measurement.
            times = alike.setdefault(key, {})
            times.setdefault((round(point.ttft, 5), round(point.tpot, 6)), point)
    for name in ENGINES:
        apart = []
        for times in alike.values():
            seconds = np.array([p.ttft for p in times.values() if p.backend == name])
            for i in range(len(seconds) if len(seconds) > 1 else 0):
                apart.append(np.median(np.delete(seconds, i)) / seconds[i] - 1)
        if apart:
            quarter = np.quantile(np.abs(apart), 0.75)
            print(
                f"time to first token measured again, {name}: {len(apart)} points, median "
                f"{median(apart):.1%}, upper quartile {quarter:.0%}"
            )


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{SAMPLE} points")
    quick = parser.parse_args().quick
    try:
        data = composed(SAMPLE if quick else None)
    except ModuleNotFoundError as error:
        print(f"skipped: {error}")
        return
    moe = data.moe == 1
    without = np.abs(data.composed["tpot"] / data.measured["tpot"] - 1)[moe]
    unknown = (data.known[moe] == 0).sum()
    print(f"{moe.sum()} points with experts; {unknown} of them give a count of GPUs only")
    print(f"composed times without calibration: median error {np.median(without):.1%}")
    bars = []
    for (target, words), most, middle in zip(TARGETS.items(), (11, 20), (12, 20), strict=True):
        times = predicted(data, target)
        errors, inside = table(data, target, times)
        every, held = (np.concatenate(list(of.values())) for of in (errors, inside))
        medians = [np.median(own) for own in errors.values()]
        least = min(own.mean() for own in inside.values())
        bars += [
            (f"{words}, median error", np.median(every), f"at most {most}%"),
            (f"{words}, median of the pairs' medians", np.median(medians), f"at most {middle}%"),
            (f"{words}, 90 % intervals hold", held.mean(), "85% to 95%"),
        ]
        if target == "tpot":
            bars.append((f"{words}, least of a pair", least, "at least 60%"))
        else:
            print(f"{words}, 90 % intervals hold in the worst pair: {least:.1%}")
            by_part(data, times)
    repeats()
    for words, value, must in bars:
        harness.bar(words, f"{value:.1%}", must)


if __name__ == "__main__":
    # What is computed is kept by the name of the module, so that the page of accuracy finds it.
    from tests.benchmarks import silicon

    silicon.main()
