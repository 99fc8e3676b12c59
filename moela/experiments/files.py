"""A finished run of an experiment, and the file that holds it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moela._arrays import Designs, Floats, rows
from moela.files.arrays import open_arrays
from moela.files.fields import number_in, object_in, text_in, whole_in
from moela.files.guard import brief, check_size, invalid_file
from moela.files.replacing import replacing
from moela.files.text import parse_json
from moela.provenance.environment import Provenance
from moela.provenance.signature import Signature
from moela.quality.anytime import GrowingFront

Array = NDArray[Any]
Settings = dict[str, Signature]
"""Signatures of problem and algorithm, with digests of their code."""

FORMAT = "moela-run-1"
# File systems take names of 255 bytes; the scratch file beside a run's has a longer name.
_LONGEST_NAME, _SHORT_SLUG = 240, 60
_CLOCKS = ("wall", "cpu", "evaluation_wall", "evaluation_cpu")
ADVICE = (
    " The file is damaged, or is not a run of an experiment. Move it to another folder; the next "
    "call makes the run again."
)


@dataclass(frozen=True)
class Key:
    """The identity of a run: names of problem and algorithm, seed, and evaluations allowed."""

    problem: str
    algorithm: str
    seed: int
    budget: int

    def __str__(self) -> str:
        return f"{self.algorithm} on {self.problem}, seed {self.seed}, {self.budget} evaluations"

    @property
    def file_name(self) -> str:
        """The name of the run's file, different for different runs."""
        end = f"--n{self.budget}--s{self.seed}.npz"
        name = f"{_slug(self.problem)}--{_slug(self.algorithm)}{end}"
        if len(name) <= _LONGEST_NAME:
            return name
        return f"{_short_slug(self.problem)}--{_short_slug(self.algorithm)}{end}"


def _short_slug(name: str) -> str:
    digest = blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{_slug(name)[:_SHORT_SLUG]}-{digest}"


def _slug(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "_", name).replace("--", "-_")
    if plain == name:
        return name
    return f"{plain}-{blake2b(name.encode(), digest_size=3).hexdigest()}"


class Run:
    """A run with all its evaluations.

    The large arrays of a run that was loaded are read from its file at each access.
    """

    def __init__(
        self,
        key: Key,
        arrays: Mapping[str, Array],
        *,
        settings: Settings,
        provenance: Provenance,
        seconds: dict[str, float],
        ref_point: ArrayLike | None,
        n_eval: int | None = None,
        log: object = None,
        path: Path | None = None,
    ) -> None:
        self.key = key
        self.problem, self.algorithm = key.problem, key.algorithm
        self.seed, self.budget = key.seed, key.budget
        self.settings = settings  # by which changes are detected
        self.provenance = provenance
        self.seconds = seconds  # see `record_run`
        self.ref_point = None if ref_point is None else np.array(ref_point, dtype=float)
        self.n_eval = len(arrays["F"]) if n_eval is None else n_eval
        # Values in the log of an algorithm that JSON lacks become text.
        self.log = json.loads(json.dumps(log, default=str)) if isinstance(log, dict) else {}
        self.path = path
        self._arrays = arrays
        self._volumes: dict[tuple[bytes, int], float] = {}

    def __repr__(self) -> str:
        return f"Run({self.key})"

    @property
    def F(self) -> Floats:
        """Objectives of all evaluations [n_eval, M], in order; NaN for failed ones."""
        return self._arrays["F"]

    @property
    def CV(self) -> Floats:
        """Constraint violation of all evaluations [n_eval], 0 if feasible."""
        return self._arrays["CV"] if "CV" in self._arrays else np.zeros(self.n_eval)

    @property
    def G(self) -> Floats:
        """Inequality constraints of all evaluations [n_eval, n_ieq_constr]."""
        return self._arrays["G"] if "G" in self._arrays else np.empty((self.n_eval, 0))

    @property
    def H(self) -> Floats:
        """Equality constraints of all evaluations [n_eval, n_eq_constr]."""
        return self._arrays["H"] if "H" in self._arrays else np.empty((self.n_eval, 0))

    @property
    def front_F(self) -> Floats:
        """Objectives [k, M] of the feasible non-dominated designs among all evaluations."""
        return self._arrays["front_F"]

    @property
    def front_X(self) -> Designs:
        """Designs [k, n_var] of the front, dictionaries [k] for mixed variables."""
        X = self._arrays["front_X"]
        if X.dtype.kind != "U" or X.ndim != 1:
            return X
        path = self.path or Path(self.key.file_name)
        check_size(path, X.size * X.itemsize // 4, "text", "front_X")
        lines = (parse_json(line, path, f"front_X[{i}]") for i, line in enumerate(X.tolist()))
        return rows([object_in(path, f"front_X[{i}]", line) for i, line in enumerate(lines)])

    @property
    def overhead(self) -> float:
        """CPU seconds per evaluation spent outside the problem's evaluation."""
        spent = self.seconds["cpu"] - self.seconds["evaluation_cpu"]
        return spent / max(self.n_eval, 1)

    def scored_F(self) -> Floats:
        """Return F with NaN for infeasible designs, [n_eval, M]."""
        F = self.F
        return F if "CV" not in self._arrays else np.where(self.CV[:, None] <= 0, F, np.nan)

    def hypervolumes(self, at: list[int], ref_point: Floats) -> Floats:
        """Return the hypervolume after each number of evaluations, [len(at)]; it is cached."""
        mark = ref_point.tobytes()
        missing = [n for n in at if (mark, n) not in self._volumes]
        if missing:
            values = GrowingFront(self.scored_F(), ref_point).volumes(missing)
            self._volumes |= {(mark, n): v for n, v in zip(missing, values.tolist(), strict=True)}
        return np.array([self._volumes[mark, n] for n in at])

    def evaluations_to(self, target: float, ref_point: Floats) -> float:
        """Return the evaluations until the hypervolume reaches `target`, infinity for never."""
        return GrowingFront(self.scored_F(), ref_point).first(target)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the run into a folder, completely or not at all, and return the file."""
        header = {
            "format": FORMAT,
            "key": vars(self.key),
            "n_eval": self.n_eval,
            "settings": self.settings,
            "provenance": self.provenance,
            "seconds": self.seconds,
            "log": self.log,
            "ref_point": None if self.ref_point is None else self.ref_point.tolist(),
        }
        path = Path(folder) / self.key.file_name
        arrays: dict[str, Any] = dict(self._arrays)
        arrays["header"] = np.array(json.dumps(header))
        with replacing(path) as scratch, scratch.open("wb") as file:
            np.savez_compressed(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Run:
        """Read a run that `save` wrote; its large arrays are read at each access.

        A ValueError names the file and the damaged field, at each access, too.
        """
        path = Path(path)
        with _explained(path):
            arrays = FileArrays(path)
            header = _read_header(path, str(arrays["header"]))
            run = cls(arrays=arrays, path=path, **header)
            arrays.check(run.n_eval, run.ref_point)
        return run


def _read_header(path: Path, text: str) -> dict[str, Any]:
    """Return the parameters of a Run that a header holds."""
    header = object_in(path, "header", parse_json(text, path, "header"))
    if header.get("format") != FORMAT:
        raise invalid_file(path, brief(header.get("format")), repr(FORMAT), "header.format")

    def inside(name: str, default: object = None) -> dict[str, object]:
        return object_in(path, f"header.{name}", header.get(name, default))

    key, settings, provenance = inside("key"), inside("settings"), inside("provenance")
    names = {k: text_in(path, f"header.key.{k}", key.get(k)) for k in ("problem", "algorithm")}
    numbers = {k: whole_in(path, f"header.key.{k}", key.get(k), 0) for k in ("seed", "budget")}
    for part in ("problem", "algorithm"):
        object_in(path, f"header.settings.{part}", settings.get(part, {}))
    versions = object_in(path, "header.provenance.versions", provenance.get("versions", {}))
    for package, version in versions.items():
        text_in(path, f"header.provenance.versions.{package}", version)
    clocks = inside("seconds")
    point = header.get("ref_point")
    if point is not None:
        if not isinstance(point, list):
            raise invalid_file(path, brief(point), "a list of numbers", "header.ref_point")
        point = [number_in(path, f"header.ref_point[{i}]", v) for i, v in enumerate(point)]
    return {
        "key": Key(**names, **numbers),  # type: ignore[arg-type]
        "settings": settings,
        "provenance": provenance,
        "seconds": {k: number_in(path, f"header.seconds.{k}", clocks.get(k), 0.0) for k in _CLOCKS},
        "ref_point": point,
        "n_eval": whole_in(path, "header.n_eval", header.get("n_eval"), 0),
        "log": inside("log", {}),
    }


class FileArrays(Mapping[str, Array]):
    """The arrays of an npz file, each read anew at every access, so that none stays in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_arrays(path) as file:
            self.forms = {name: file.form(name) for name in file}
        header = self.forms.get("header")
        if header is None or header[0] != () or header[1].kind != "U":
            raise invalid_file(path, _words(header), "a JSON text", "header")

    def __getitem__(self, name: str) -> Array:
        with _explained(self.path):
            with open_arrays(self.path) as file:
                array = file[name]
            form = array.shape, array.dtype
            # The file may have been replaced since it was opened first.
            if form != self.forms.get(name):
                raise invalid_file(self.path, _words(form), _words(self.forms.get(name)), name)
        return array

    def __contains__(self, name: object) -> bool:
        return name in self.forms

    def __iter__(self) -> Iterator[str]:
        return (name for name in self.forms if name != "header")

    def __len__(self) -> int:
        return len(self.forms) - 1

    def check(self, n_eval: int, ref_point: Floats | None) -> None:
        """Check types and shapes of all arrays, from their headers; a ValueError names the bad one.

        They are those of `moela.experiments.recording.Evaluated.arrays`.
        """
        _, n_obj = self._shape("F", "float64", (n_eval, None))
        n_front, _ = self._shape("front_F", "float64", (None, n_obj))
        for name, shape in (("CV", (n_eval,)), ("G", (n_eval, None)), ("H", (n_eval, None))):
            if name in self:
                self._shape(name, "float64", shape)
        lines = len(self.forms.get("front_X", ((), None))[0]) == 1  # of JSON
        kind = "texts" if lines else "numbers, booleans or texts"
        self._shape("front_X", kind, (n_front,) if lines else (n_front, None))
        if n_obj < 1 or (ref_point is not None and len(ref_point) != n_obj):
            got = "no objectives" if ref_point is None else len(ref_point)
            raise invalid_file(self.path, got, f"{n_obj} numbers", "header.ref_point")

    def _shape(self, name: str, kind: str, shape: tuple[int | None, ...]) -> tuple[int, ...]:
        """Return the shape of an array if it is as wanted; None stands for any length."""
        kinds = {"float64": "f", "texts": "U"}.get(kind, "biufU")
        actual, dtype = self.forms.get(name, ((), None))
        fits = dtype is not None and dtype.isnative and dtype.kind in kinds
        fits = fits and (kind != "float64" or dtype == np.float64) and len(actual) == len(shape)
        if not fits or any(n not in (None, m) for n, m in zip(shape, actual, strict=True)):
            wanted = ", ".join("n" if n is None else str(n) for n in shape)
            got = _words(self.forms.get(name))
            raise invalid_file(self.path, got, f"{kind} of shape [{wanted}]", name)
        return actual


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say at the end of an error about a file what its reader can do."""
    try:
        yield
    except ValueError as error:
        text = str(error).removesuffix(ADVICE)
        raise ValueError(f"{text}{ADVICE}") from error


def _words(form: tuple[tuple[int, ...], np.dtype[Any]] | None) -> str:
    return "no array" if form is None else f"{form[1]} of shape {list(form[0])}"
