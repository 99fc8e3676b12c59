"""Composed and calibrated serving times against the measured points of aiconfigurator-core.

    python -m tests.benchmarks.silicon            # resumes; predicts the pairs that are missing
    python -m tests.benchmarks.silicon --quick    # the bars, from the committed predictions
    python -m tests.benchmarks.silicon --compose  # composes all points again (about 10 minutes)

Aggregated points are predicted with each pair of architecture and GPU left out; DeepSeek-R1 and V3
are one architecture. A calibration sees no point of the pair that it predicts, and neither its
settings nor its features were chosen by pair. The composed times and the predictions lie in
``tests/benchmarks/results``.
"""

import sys
import time
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"
COMPOSED, PREDICTED = RESULTS / "silicon_composed.npz", RESULTS / "silicon_predicted.npz"
TARGETS = ("tpot", "ttft")
ENGINES = ("trtllm", "sglang", "vllm")


def compose():
    """Compose all points, and keep them as arrays."""
    from moe_costmodel.silicon.calibration import CalibrationData
    from moe_costmodel.silicon.sample import read_sample
    from moe_costmodel.silicon.serving import estimate_of
    from moe_costmodel.silicon.step import SiliconModel

    points = read_sample()
    models, estimates = {}, []
    # One GPU's tables at a time; the order of points stays.
    order = sorted(range(len(points)), key=lambda i: (points[i].gpu, points[i].backend))
    found = {}
    for i in order:
        point = points[i]
        key = (point.gpu, point.backend)
        if key not in models:
            models = {key: SiliconModel(*key)}
            print("composing", *key, flush=True)
        found[i] = estimate_of(models[key], point)
    estimates = [found[i] for i in range(len(points))]
    data = CalibrationData.of(points, estimates)
    arrays = {f"composed_{name}": data.composed[name] for name in TARGETS}
    arrays |= {f"measured_{name}": data.measured[name] for name in TARGETS}
    np.savez_compressed(
        COMPOSED, features=data.features.astype(np.float32), names=data.names, labels=data.labels,
        groups=data.groups.astype(np.int16), engine=data.engine.astype(np.int8),
        outside=data.outside.astype(np.float32), moe=data.moe.astype(np.int8),
        known=data.known.astype(np.int8), parts=data.parts.astype(np.float32), **arrays,
    )  # fmt: skip


def load():
    from moe_costmodel.silicon.calibration import CalibrationData

    with np.load(COMPOSED) as file:
        found = {name: file[name] for name in file.files}
    return CalibrationData(
        features=found["features"].astype(np.float64),
        names=tuple(map(str, found["names"])),
        composed={name: found[f"composed_{name}"] for name in TARGETS},
        measured={name: found[f"measured_{name}"] for name in TARGETS},
        groups=found["groups"].astype(np.int64),
        labels=tuple(map(str, found["labels"])),
        engine=found["engine"].astype(np.int64),
        outside=found["outside"].astype(np.float64),
        moe=found["moe"].astype(np.int64),
        known=found["known"].astype(np.int64),
        parts=found["parts"].astype(np.float64),
    )


def predict(data):
    """Predict each pair from the others, and keep the predictions after each."""
    from moe_costmodel.silicon.calibration import ServingCalibration

    done = {}
    if PREDICTED.exists():
        with np.load(PREDICTED) as file:
            done = {name: file[name] for name in file.files}
    for target in TARGETS:
        for group in np.unique(data.groups[data.moe == 1]):
            name = f"{target} {data.labels[group]}"
            if name in done:
                continue
            begin = time.process_time()
            rows = np.flatnonzero(data.groups != group)
            model = ServingCalibration(target).fit(data, rows)
            times = model.predict(data, np.flatnonzero(data.groups == group))
            done[name] = np.stack([times.seconds, times.low, times.high]).astype(np.float32)
            np.savez_compressed(PREDICTED, **done)
            chosen = f", tie {model.tie}, share {model.share}" * (target == "ttft")
            print(f"{name}: {time.process_time() - begin:.0f} s{chosen}", flush=True)
    return done


def table(data, done, target):
    """Print a line a pair, and return (errors, inside, groups) of all points with experts."""
    errors, inside, groups = [], [], []
    composed = np.abs(data.composed[target] / data.measured[target] - 1)
    print(f"\n{target}: pair, points, median error composed, calibrated, inside the interval")
    for group in np.unique(data.groups[data.moe == 1]):
        rows = data.groups == group
        seconds, low, high = done[f"{target} {data.labels[group]}"]
        measured = data.measured[target][rows]
        error = np.abs(seconds / measured - 1)
        held = (measured >= low) & (measured <= high)
        print(
            f"  {data.labels[group]:42s} {rows.sum():4d} {np.median(composed[rows]):7.1%} "
            f"{np.median(error):7.1%} {held.mean():6.0%}"
        )
        errors.append(error)
        inside.append(held)
        groups.append(np.full(rows.sum(), group))
    return np.concatenate(errors), np.concatenate(inside), np.concatenate(groups)


def by_part(data, done):
    """Print the median errors of the time to the first token by engine, and by division known."""
    moe = data.moe == 1
    error = np.full(len(data), np.nan)
    for group in np.unique(data.groups[moe]):
        rows = data.groups == group
        error[rows] = done[f"ttft {data.labels[group]}"][0] / data.measured["ttft"][rows] - 1
    engines = data.features[:, [data.names.index(name) for name in ENGINES]].argmax(axis=1)
    for number, name in enumerate(ENGINES):
        rows = moe & (engines == number)
        print(f"time to first token, {name}: {rows.sum()} points, {median(error[rows]):.1%}")
    alone = np.full(len(data), np.nan)
    for group in np.unique(data.groups[moe]):
        seconds = parts_alone(data, group)
        alone[data.groups == group] = seconds / data.measured["ttft"][data.groups == group] - 1
    print(f"time to first token, weighted parts without trees: {median(alone[moe]):.1%}")
    few = with_few(error[moe], data.groups[moe])
    print(f"time to first token, three points of the pair measured: {few:.1%}")


def median(errors):
    return np.median(np.abs(errors))


def parts_alone(data, group):
    """Return the times of a pair by the weights of parts that the other pairs have."""
    from moe_costmodel.silicon.first_token import EngineWeights

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
    from moe_costmodel.silicon.sample import read_sample

    alike = {}
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


def main(arguments):
    try:
        from moe_costmodel.silicon.tables.package import silicon_root

        silicon_root()
    except ModuleNotFoundError as error:
        print(f"skipped: {error}")
        return
    if "--compose" in arguments or not COMPOSED.exists():
        compose()
        PREDICTED.unlink(missing_ok=True)
    data = load()
    done = predict(data)
    moe = data.moe == 1
    composed = np.abs(data.composed["tpot"] / data.measured["tpot"] - 1)[moe]
    unknown = (data.known[moe] == 0).sum()
    print(f"{moe.sum()} points with experts; {unknown} of them give a count of GPUs only")
    print(f"composed times without calibration: median error {np.median(composed):.1%}")
    bars = []
    for target, most in (("tpot", 0.11), ("ttft", 0.20)):
        error, inside, groups = table(data, done, target)
        medians = [np.median(error[groups == g]) for g in np.unique(groups)]
        words = "time per token" if target == "tpot" else "time to first token"
        bars.append((f"{words}, median error", np.median(error), f"at most {most:.0%}"))
        middle = np.median(medians)
        must = "at most 12%" if target == "tpot" else "at most 20%"
        bars.append((f"{words}, median of the pairs' medians", middle, must))
        bars.append((f"{words}, 90 % intervals hold", inside.mean(), "85% to 95%"))
        least = min(inside[groups == g].mean() for g in np.unique(groups))
        if target == "tpot":
            bars.append((f"{words}, least of a pair", least, "at least 60%"))
        else:
            print(f"{words}, 90 % intervals hold in the worst pair: {least:.1%}")
    by_part(data, done)
    repeats()
    for words, value, must in bars:
        print(f"bar: {words}, {value:.1%}, {must}")


if __name__ == "__main__":
    main(sys.argv[1:])
