"""Results that a user already has: read as evaluated individuals of a problem."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import moocore
import numpy as np
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.result import Result

from moela._arrays import rows
from moela.core.operators import resolve
from moela.core.origin import origin_of
from moela.core.warm_start import put_inside
from moela.evaluation.marks import Marks
from moela.evaluation.runners.outcome import OK, failed
from moela.evaluation.storage.keys import encode, keys_of
from moela.evaluation.storage.reader import EvaluationStore
from moela.files.tables import TextTable
from moela.functions.model.function_problem import FunctionProblem
from moela.functions.model.given import encoded, is_study, is_table
from moela.functions.model.kinds import is_number
from moela.functions.model.view import ProblemView
from moela.functions.results.front import RUN_COLUMNS, Candidate, DesignFront, run_columns
from moela.functions.results.result import MinimizeResult
from moela.functions.tables import read_designs, values_of
from moela.quality.words import amount, listed, of_kind

# On individuals that an algorithm got with their results.
_KEY = "known"
_FORM = (
    "The 'known' parameter must be results with all objectives and constraints: dictionaries of "
    "variables and outputs, a data frame, a result or candidates of its front, the path of a .csv "
    "file or of a store, or a list of these"
)


@dataclass(frozen=True)
class KnownResults:
    """Results of a problem that were given.

    Attributes
    ----------
    individuals : list of Individual
        Evaluated, or failed; each design once, or of a noisy function as often as it was measured.
    note : str
        Which of the given results are left out, and why; empty if none.
    """

    individuals: list[Individual]
    note: str = ""
    last: tuple[int, ...] | None = None  # position of the last result of each design; None for all

    def __len__(self) -> int:
        return len(self.individuals)

    @property
    def digest(self) -> str:
        """A text that other results do not have."""
        state = blake2b(digest_size=8)
        for ind in self.individuals:
            values = [np.asarray(value, dtype=float) for value in (ind.F, ind.G, ind.H)]
            status = str(ind.data.get("status", OK))
            state.update(b"".join([encode(ind.X), *map(np.ndarray.tobytes, values)]))
            state.update(status.encode())
        return f"digest {state.hexdigest()}"

    def first_designs(self, start: Population | None, size: int | None) -> Population:
        """Return copies of the results, then the designs of `start`, as a run begins with them.

        `size` is that of the population of a genetic algorithm, which gets the best results only
        and no failures.
        """
        start = Population.empty() if start is None else start
        last = range(len(self.individuals)) if self.last is None else self.last
        known = Population.create(*[_copy(self.individuals[i]) for i in last])
        if size is not None:
            known = _best(known[~failed(known)], max(0, size - len(start)))
        return Population.merge(known, start)


@dataclass
class _Record:
    """A given result: design and outputs by name, or an individual of a pymoo problem."""

    design: Mapping[str, object] = field(default_factory=dict)
    outputs: Mapping[str, object] = field(default_factory=dict)
    status: str = OK
    error: str = ""
    individual: Individual | None = None


class _Unusable(Exception):
    """A given result cannot be used: `kind` counts with others of its kind."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(detail or kind)
        self.kind = kind


def known_results(
    problem: Problem, given: object, *, keep_failures: bool, store: object, noisy: bool = False
) -> KnownResults | None:
    """Return given results of a problem; None without any.

    Parameters
    ----------
    problem : Problem
    given : object
        As `moela.minimize` takes it.
    keep_failures : bool
        Whether failed evaluations are results, too; else they are left out.
    store : path or None
        To which the run writes, and which must be another one.
    noisy : bool
        Whether to keep all results of equal designs instead of the last one.

    Raises
    ------
    TypeError, ValueError
        This is something else, or none of the results can be used; the message says why.
    """
    if given is None:
        return None
    found: list[Individual] = []
    last: dict[bytes, int] = {}  # positions in `found`
    n_replaced = 0
    left_out: Counter[str] = Counter()
    first: dict[str, str] = {}
    n = 0
    for number, record in enumerate(_records(problem, given, store)):
        n += 1
        try:
            individual = _individual(problem, record, number, keep_failures)
        except _Unusable as why:
            left_out[why.kind] += 1
            first.setdefault(why.kind, str(why))
            continue
        key = keys_of(problem, rows([individual.X]))[0]
        if key not in last or noisy:
            last[key] = len(found)
            found.append(individual)
        else:
            n_replaced += _differ(found[last[key]], individual)
            found[last[key]] = individual
    if n == 0:
        raise ValueError(f"{_FORM}. Got none instead; leave it out.")
    notes = []
    if left_out:
        reasons = [
            f"{count:,} {kind}" + (f" (the first: {first[kind]})" if first[kind] != kind else "")
            for kind, count in left_out.items()
        ]
        notes.append(
            f"{sum(left_out.values()):,} of the {n:,} known results are left out: "
            f"{'; '.join(reasons)}"
        )
        if not found:
            raise ValueError(
                f"{_FORM}. Got none that can be used: {'; '.join(reasons)}. To evaluate the "
                "designs, pass them as 'start'."
            )
    if n_replaced:
        notes.append(
            f"{n_replaced:,} of the {n:,} known results differ from a later one of the same design,"
            " which counts; pass noisy=True to keep all"
        )
    return KnownResults(found, ". ".join(notes), tuple(last.values()) if noisy else None)


def _differ(a: Individual, b: Individual) -> bool:
    """Return whether two evaluations have different objectives or constraints."""
    return any(not np.array_equal(x, y) for x, y in ((a.F, b.F), (a.G, b.G), (a.H, b.H)))


def is_known(individual: Individual) -> bool:
    """Return whether an individual of a run was given with its result."""
    return _KEY in individual.data or origin_of(individual).already_evaluated


def _copy(individual: Individual) -> Individual:
    """Return a copy for an algorithm, which writes data of its own into it."""
    copied = Individual(X=individual.X)
    copied.F, copied.G, copied.H = individual.F, individual.G, individual.H
    copied.evaluated.update(("F", "G", "H"))
    copied.data = {name: individual.data[name] for name in ("status",) if name in individual.data}
    copied.data[_KEY] = True
    return copied


def _best(pop: Population, size: int) -> Population:
    """Return at most `size` individuals: those of the least violation and the first layers."""
    if len(pop) <= size:
        return pop
    F, CV = pop.get("F").astype(float), np.maximum(pop.get("CV")[:, 0], 0.0)
    order = np.lexsort((np.asarray(moocore.pareto_rank(F)), CV))
    return pop[np.sort(order[:size])]


# ---- reading what was given ----------------------------------------------------------------------


def _records(problem: Problem, given: object, store: object) -> Iterator[_Record]:
    """Yield the results in what was given, whatever form they have."""
    if isinstance(given, str | os.PathLike):
        yield from _of_path(problem, Path(given), store)
    elif isinstance(given, EvaluationStore):
        _check_other(given.path, store)
        for run in given.runs():
            yield from _of_result(problem, MinimizeResult.from_store(given, run.id))
    elif isinstance(given, MinimizeResult):
        yield from _of_result(problem, given)
    elif isinstance(given, DesignFront):
        yield from _records(problem, list(given), store)
    elif isinstance(given, Candidate):
        yield _Record(given.design, given.objectives | given.others)
    elif isinstance(given, Result):
        yield from _records(problem, given.pop, store)
    elif isinstance(given, Population | Individual):
        pop = Population.create(given) if isinstance(given, Individual) else given
        yield from _of_result(problem, MinimizeResult(problem, list(pop)))
    elif is_table(given):
        single = not hasattr(given, "columns")
        dicts = [given.to_dict()] if single else given.to_dict("records")  # type: ignore[attr-defined]
        for row in dicts:
            yield _of_row(problem, row)
    elif isinstance(given, Mapping):
        yield _of_row(problem, given)
    elif isinstance(given, list | tuple | Iterator):
        for item in given:
            yield from _records(problem, item, store)
    else:
        hint = "; pass moela.plugins.results_of_study(study, names)." if is_study(given) else "."
        raise TypeError(f"{_FORM}. Got {of_kind(given)} instead{hint}")


def _of_path(problem: Problem, path: Path, store: object) -> Iterator[_Record]:
    if path.suffix.lower() == ".csv":
        yield from _of_csv(problem, path)
        return
    with EvaluationStore(path) as opened:
        yield from _records(problem, opened, store)


def _check_other(path: Path, store: object) -> None:
    """Refuse the store that the run itself writes to, whose results change."""
    if isinstance(store, str | os.PathLike) and (
        Path(store).expanduser().absolute() == Path(path).expanduser().absolute()
    ):
        raise ValueError(
            f"The 'known' parameter must be another store than the one that the run writes to. Got "
            f"{os.fspath(path)!r} for both; name a new file as 'store'."
        )


def _of_result(problem: Problem, result: MinimizeResult) -> Iterator[_Record]:
    """Yield the results of a run, by name if those of a function are asked for."""
    view = ProblemView(result.problem)
    for individual in result.population:
        status = str(individual.data.get("status", OK))
        error = str(individual.data.get("error") or "")
        if not isinstance(problem, FunctionProblem):
            yield _Record(status=status, error=error, individual=individual)
            continue
        outputs = {}
        if status == OK:
            outputs = view.objectives(individual) | view.others(individual)
        yield _Record(view.design(individual.X), outputs, status, error)


def _of_csv(problem: Problem, path: Path) -> Iterator[_Record]:
    designs = read_designs(path, problem)
    heading, *lines = [cells for _, cells in TextTable(path) if cells]
    if not lines:
        return
    numbers = {*_variables(problem), *_outputs(problem)}
    columns = [
        [_number(cell) for cell in cells]
        if name.removesuffix(" (output)") in numbers
        else values_of(cells)
        for name, cells in zip(heading, zip(*lines, strict=True), strict=True)
    ]
    for design, values in zip(designs, zip(*columns, strict=True), strict=True):
        record = _of_row(problem, dict(zip(heading, values, strict=True)))
        if isinstance(design, Mapping):  # with options in place of their texts
            record.design = design
        yield record


def _number(cell: str) -> object:
    """Return the number in a cell, else its text."""
    try:
        return float(cell)
    except ValueError:
        return cell


def _variables(problem: Problem) -> list[str]:
    if isinstance(problem, FunctionProblem):
        return list(problem.variables)
    return list(getattr(problem, "vars", None) or (f"x{j}" for j in range(problem.n_var)))


def _of_row(problem: Problem, row: Mapping[str, object]) -> _Record:
    """Return the result in a row of a table, or in a dictionary of variables and outputs."""
    variables = _variables(problem)
    own = [*variables, *_outputs(problem)]
    taken = [name for name in RUN_COLUMNS if name in own or f"{name} (run)" in row]
    about = {name: column for name, column in run_columns(taken).items() if column in row}
    design, outputs = {}, {}
    for name, value in row.items():
        if name in variables:
            design[name] = value
        elif name not in about.values() and not _absent(value):
            outputs[name.removesuffix(" (output)") if isinstance(name, str) else name] = value
    status, error = (row.get(about.get(name, "")) for name in RUN_COLUMNS[1:])
    return _Record(
        design,
        outputs,
        OK if _absent(status) else str(status),
        "" if _absent(error) else str(error),
    )


def _absent(value: object) -> bool:
    if isinstance(value, str):
        return value == ""
    return value is None or (isinstance(value, float) and bool(np.isnan(value)))


def _outputs(problem: Problem) -> list[str]:
    """Return the names of the outputs that a result must have."""
    if isinstance(problem, FunctionProblem):
        return problem.outputs.names
    return [*ProblemView(problem).names, *(f"g{j + 1}" for j in range(problem.n_ieq_constr))]


# ---- as individuals of the problem ---------------------------------------------------------------


def _individual(problem: Problem, record: _Record, number: int, keep_failures: bool) -> Individual:
    """Return a result as an evaluated individual; raise `_Unusable` if it is none."""
    if record.status != OK and not keep_failures:
        raise _Unusable("failed")
    individual = Individual(X=_design(problem, record, number))
    if record.status != OK:
        Marks(problem).put_on(individual, record.status, record.error)
        return individual
    if record.individual is not None:
        _take_values(problem, record.individual, individual)
    else:
        _read_values(problem, record, individual)
    individual.evaluated.update(("F", "G", "H"))
    return individual


def _design(problem: Problem, record: _Record, number: int) -> object:
    """Return the design of a result as the problem has it."""
    needed = _variables(problem)
    if isinstance(problem, FunctionProblem):
        needed = [name for name, variable in problem.variables.items() if not variable.when]
    missing = [name for name in needed if name not in record.design]
    if missing and record.individual is None:
        raise _Unusable(f"without {listed(missing)}", _held(missing, record.outputs))
    try:
        if isinstance(problem, FunctionProblem):
            return encoded(problem, record.design, number, "known")
        if record.individual is not None:
            X = record.individual.X
        elif getattr(problem, "vars", None):
            X = dict(record.design)
        else:
            X = np.array([record.design[name] for name in needed])
        shape = (len(X),) if isinstance(X, dict) else np.shape(X)
        if shape != (problem.n_var,):
            raise ValueError(f"result {number} has {shape[0] if shape else 1} variables")
        pop = Population.new("X", rows([X]))
        put_inside(problem, resolve(problem), pop)
    except (ValueError, TypeError, KeyError) as error:
        raise _Unusable("outside of the variables' ranges", str(error).rstrip(".")) from None
    return pop[0].X


def _take_values(problem: Problem, given: Individual, individual: Individual) -> None:
    """Copy the objectives and constraints of an individual of the same or a similar problem."""
    for name, size in (
        ("F", problem.n_obj), ("G", problem.n_ieq_constr), ("H", problem.n_eq_constr)
    ):  # fmt: skip
        value = getattr(given, name)
        value = np.zeros(0) if value is None else np.asarray(value, dtype=float)
        if value.shape != (size,) or not np.isfinite(value).all():
            raise _Unusable(f"without {amount(size, 'finite value')} in {name}")
        individual.set(name, value)


def _read_values(problem: Problem, record: _Record, individual: Individual) -> None:
    """Set the objectives and constraints that a result has by name, and its other outputs."""
    names, outputs = _outputs(problem), record.outputs
    missing = [name for name in names if not is_number(outputs.get(name))]
    if missing:
        raise _Unusable(f"without a number as {listed(missing)}", _held(missing, outputs))
    if isinstance(problem, FunctionProblem):
        answer = problem.outputs.read(outputs, record.design, problem.name())
        for name, value in {"F": answer.F, "G": answer.G, **answer.extra}.items():
            individual.set(name, value)
        return
    if problem.n_eq_constr:
        raise _Unusable("without numbers of the equality constraints")
    values: Sequence[float] = [float(outputs[name]) for name in names]  # type: ignore[arg-type]
    individual.set("F", np.array(values[: problem.n_obj]))
    individual.set("G", np.array(values[problem.n_obj :]))


def _held(missing: Sequence[str], outputs: Mapping[str, object]) -> str:
    """Return what a result holds instead of the outputs that it lacks."""
    name = missing[0]
    if name in outputs:
        return f"{name!r} is {of_kind(outputs[name])}"
    return f"it has {listed(outputs)}" if outputs else "it has no outputs"
