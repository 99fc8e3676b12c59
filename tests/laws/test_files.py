"""What is written is read back equal, whatever its names, numbers and sizes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import moela
import problems
from moe_costmodel import (
    GateRule,
    Hardware,
    LayerShape,
    Link,
    Measurements,
    Placement,
    Plan,
    Predicted,
    Record,
    RoutingTrace,
    replicate_and_pack,
)
from moela import EvaluationStore, ExperimentResults, External, MinimizeResult, run_experiment
from problems.noc import Design
from tests.laws.cases import QUIET, examples

# Texts without lone surrogates, which UTF-8 cannot hold, and NUL, which no CSV file may hold.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
names = texts.filter(lambda name: name.strip() == name and name.isprintable() and name != "")
numbers = st.floats(allow_nan=False, allow_infinity=False)


def written(save, load, name="file"):
    """Return what `load` reads from the file that `save` writes."""
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        save(path)
        return load(path)


def same(a, b):
    """Return whether two values are equal in type and value, and NaN is NaN."""
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, float) and math.isnan(a):
        return isinstance(b, float) and math.isnan(b)
    return type(a) is type(b) and a == b


outputs = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | texts,
    lambda inner: st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)


@examples(12)
@given(
    st.lists(names, min_size=3, max_size=3, unique_by=str.casefold),
    st.lists(names, min_size=2, max_size=4, unique=True),
    st.lists(outputs, min_size=8, max_size=8),
    st.sampled_from([1.0, 1e-300, 1e300, math.pi]),
)
def test_results_of_a_run(objectives, options, others, size):
    first, second, extra = objectives
    values = iter(others)

    def function(design):
        place = design["variable"] * size
        return {first: place, second: -place + options.index(design["s"]), extra: next(values)}

    with TemporaryDirectory() as folder:
        path = Path(folder, "run.db")
        result = moela.minimize(
            function,
            variables={"variable": (0.0, 1.0), "s": options, "n": (0, 2**53)},
            objectives=[first, second],
            n_eval=8,
            store=path,
            version="1",
            **QUIET,
        )
        stored = MinimizeResult.from_store(path)
        tables = [Path(folder, name) for name in ("all.csv", "all.json")]
        for table in tables:
            result.save(table, all=True)
        assert stored.table(all=True).rows == result.table(all=True).rows or repr(
            stored.table(all=True).rows
        ) == repr(result.table(all=True).rows)
        assert [c.design for c in stored.front] == [c.design for c in result.front]
        with EvaluationStore(path) as store:
            assert [row.F.tolist() for row in store.evaluations()] == [
                ind.F.tolist() for ind in result.population
            ]
        for known in (tables[0], path):
            again = moela.minimize(
                lambda design: {first: 1.0, second: 1.0},
                variables={"variable": (0.0, 1.0), "s": options, "n": (0, 2**53)},
                objectives=[first, second],
                known=known,
                n_eval=1,
                **QUIET,
            )
            assert again.n_known == 8
            known_designs = [(ind.X.tolist(), ind.F.tolist()) for ind in again.population[:8]]
            assert sorted(known_designs) == sorted(
                (ind.X.tolist(), ind.F.tolist()) for ind in result.population
            )
        lines = json.loads(tables[1].read_text("utf-8"))
        assert [line[first] for line in lines] == [ind.F[0] for ind in result.population]


@examples(8)
@given(
    names,
    names,
    hnp.arrays(float, st.tuples(st.integers(1, 30), st.integers(2, 4)), elements=numbers),
    st.integers(0, 2**31),
)
def test_runs_of_an_experiment(problem, algorithm, F, seed):
    n, m = F.shape
    X = np.random.default_rng(seed).random((n, 3))

    def runner(problem, seed, budget):
        return X, F

    toy = moela.problem(
        lambda d: [0.0] * m,
        variables=dict.fromkeys("abc", (0.0, 1.0)),
        objectives=[f"f{j}" for j in range(m)],
    )
    results = run_experiment(
        {problem: toy}, {algorithm: External(runner)}, [seed], n, progress=False
    )
    with TemporaryDirectory() as folder:
        back = ExperimentResults.load(results.save(folder))
        (one,), (other,) = results.runs, back.runs
        for name in ("problem", "algorithm", "seed", "n_eval", "F", "CV", "front_F", "front_X"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@st.composite
def traces(draw):
    """Draw traces with and without weights, of one expert or many, of sequences of any length."""
    n_experts = draw(st.sampled_from([1, 2, 9, 256, 257, 1000]))
    layers = draw(st.integers(1, 3))
    k = draw(st.integers(1, min(n_experts, 4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=5))
    source = draw(names)
    numbers_of_layers = sorted(draw(st.sets(st.integers(0, 99), min_size=layers, max_size=layers)))
    if draw(st.booleans()):
        counts = rng.integers(0, 50, (len(lengths), layers, n_experts)) + 1
        return RoutingTrace.from_counts(counts, layers=numbers_of_layers, source=source)
    shape = (sum(lengths), layers)
    near_the_last = [rng.permutation(min(n_experts, 9))[:k] for _ in range(math.prod(shape))]
    ids = n_experts - 1 - np.stack(near_the_last)
    weights = rng.random((*shape, k)).astype(draw(st.sampled_from(["f4", "f8"])))
    return RoutingTrace(
        ids.reshape(*shape, k),
        weights if draw(st.booleans()) else None,
        n_experts=n_experts,
        sequence_lengths=lengths,
        layers=numbers_of_layers,
        source=source,
    )


@examples(30)
@given(traces(), st.booleans())
def test_traces(trace, compress):
    def save(path):
        trace.save(path, compress=compress)

    back = written(save, RoutingTrace.load, "trace.npz")
    assert (back.n_experts, back.layers.tolist()) == (trace.n_experts, trace.layers.tolist())
    assert back.sequence_lengths.tolist() == trace.sequence_lengths.tolist()
    assert back.is_load_only == trace.is_load_only
    if trace.is_load_only:
        assert same(back.loads(), trace.loads())
    else:
        np.testing.assert_array_equal(back.topk_ids, trace.topk_ids)
        assert back.has_weights == trace.has_weights
        if trace.has_weights:
            assert same(np.asarray(back.topk_weights), np.asarray(trace.topk_weights))


positive = st.floats(1e-9, 1e15, exclude_min=True)
links = st.builds(Link, bandwidth=positive, latency=st.floats(0, 1e9))
machines = st.builds(
    Hardware,
    name=texts,
    memory_bytes=st.integers(1, 2**63 - 1),
    slow_memory_bytes=st.integers(0, 2**63 - 1),
    threads=st.integers(1, 4096),
    links=st.dictionaries(st.sampled_from(["slow_to_fast", "device_to_device"]), links),
    versions=st.dictionaries(texts, texts, max_size=3),
)


@examples(40)
@given(machines, st.lists(st.lists(st.floats(1e-9, 1e3), min_size=1), max_size=3), texts)
def test_machines_and_kernels(machine, times, note):
    assert written(machine.save, Hardware.load) == machine
    shape = LayerShape(n_experts=4, k=2, d_model=16, d_ffn=32)
    records = [Record("copy", {"bytes": 10**i}, t, shape) for i, t in enumerate(times)]
    measured = Measurements(machine, records, "wall", "2026-01-01T00:00:00", [note])
    assert written(measured.save, Measurements.load) == measured


@st.composite
def plans(draw):
    """Draw plans of one device or several, with replicas, buffers and thresholds."""
    n_devices, n_layers = draw(st.sampled_from([1, 2, 4])), draw(st.integers(1, 3))
    n_experts, replicas = 8, n_devices * draw(st.integers(0, 2))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    placement: Placement = replicate_and_pack(
        rng.random((1, n_layers, n_experts)), n_devices, n_replicas=replicas
    )
    slots = placement.n_slots // n_devices
    rule = st.none() | st.builds(GateRule, st.just("top-p"), st.floats(0.1, 1.0))
    value = st.floats(0, 1e12)
    return Plan(
        model=draw(texts),
        shape=LayerShape(n_experts=n_experts, k=2, d_model=64, d_ffn=128),
        mode=draw(st.sampled_from(["prefill", "decode"])),
        batch_size=draw(st.integers(1, 10**6)),
        placement=placement,
        gates=tuple(draw(rule) for _ in range(n_layers)),
        capacities=rng.integers(1, slots + 1, (n_layers, n_devices)),
        policy=draw(st.sampled_from(["paper", "fifo", "lru", "lfu", "inactive-lfu"])),
        layers=tuple(
            sorted(draw(st.sets(st.integers(0, 99), min_size=n_layers, max_size=n_layers)))
        ),
        objectives=draw(
            st.dictionaries(
                st.sampled_from(["step_p99_s", "memory_bytes", "quality_loss"]),
                value.map(lambda v: Predicted(v, v / 2, 2 * v, 1.5 * v)),
            )
        ),
        quality_kind=draw(texts),
        outside=tuple(draw(st.lists(texts, max_size=2))),
        provenance=draw(st.dictionaries(texts, texts, max_size=2)),
        versions=draw(st.dictionaries(texts, texts, max_size=2)),
    )


@examples(40)
@given(plans())
def test_plans(plan):
    back = written(plan.save, Plan.load, "plan.json")
    assert back == plan
    assert back.by_layer == plan.by_layer
    assert (back.objectives, back.gates) == (plan.objectives, plan.gates)
    assert back.explain() == plan.explain()


@examples(20)
@given(st.integers(0, 2**31), st.integers(2, 3), st.integers(4, 12))
def test_instances_and_designs_of_classic_problems(seed, n_obj, n):
    made = (
        problems.MultiObjectiveQAP.random(n_facilities=n, n_obj=n_obj, seed=seed),
        problems.MultiObjectiveKnapsack.random(n_items=n, n_obj=n_obj, seed=seed),
        problems.MNKLandscape.random(n=n, k=2, n_obj=n_obj, seed=seed),
    )
    for problem in made:
        back = written(problem.to_file, type(problem).from_file, "instance.txt")
        sampling = problem.operators()["sampling"]
        X = sampling(problem, 5, random_state=np.random.default_rng(seed)).get("X")
        F, G = (made.evaluate(X, return_values_of=["F"]) for made in (problem, back))
        np.testing.assert_array_equal(F, G)
        design = problem.decode(X[0])
        assert written(design.save, type(design).load, "design.json") == design


@examples(10)
@given(st.integers(0, 2**31))
def test_designs_of_chips(seed):
    problem = problems.NoC3D.example(objectives=3)
    sampling = problem.operators()["sampling"]
    design = problem.decode(sampling(problem, 1, random_state=np.random.default_rng(seed))[0].X)
    assert written(design.save, Design.load, "design.json") == design
    with TemporaryDirectory() as folder:
        files = Path(folder, "placement.csv"), Path(folder, "links.csv")
        design.to_csv(*files)
        assert Design.from_csv(*files, design.platform) == design
