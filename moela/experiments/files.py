"""A finished run of an experiment, and the file that holds it."""

from __future__ import annotations

import json
import os
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import ArrayLike, NDArray

from moela._arrays import Designs, Floats, rows
from moela.experiments.recording import Arrays
from moela.provenance.environment import Provenance
from moela.provenance.signature import Json, Signature
from moela.quality.anytime import GrowingFront

T = TypeVar("T")
Array = NDArray[Any]
Settings = dict[str, Signature]
"""Signatures of problem and algorithm, with digests of their code."""

FORMAT = "moela-run-1"
_CLOCKS = ("wall", "cpu", "evaluation_wall", "evaluation_cpu")
# Errors of numpy on a damaged file, which it unzips and whose headers it reads as Python literals.
_BROKEN = (
    ValueError, OSError, EOFError, AttributeError, TypeError, NotImplementedError, RuntimeError,
    OverflowError, MemoryError, SyntaxError, struct.error, tokenize.TokenError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip


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
        names = f"{_slug(self.problem)}--{_slug(self.algorithm)}"
        return f"{names}--n{self.budget}--s{self.seed}.npz"


def _slug(name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "_", name).replace("--", "-_")
    if plain == name:
        return name
    return f"{plain}-{blake2b(name.encode(), digest_size=3).hexdigest()}"


class Run:
    """A run with all its evaluations.

    The large arrays of a run that was loaded are read from its file at each access.

    Attributes
    ----------
    key : Key
        `problem`, `algorithm`, `seed` and `budget`, which are attributes of the run as well.
    n_eval : int
        Evaluations recorded, at most `budget`.
    settings : dict
        Signatures of problem and algorithm, by which changes are detected.
    provenance : dict
        Versions, machine and date; see `moela.provenance.environment`.
    ref_point : float array [M] or None
        The problem's own reference point.
    log : dict
        The algorithm's `log` of the contributions of its parts, if it has one.
    seconds : dict
        ``wall`` and ``cpu`` of the run; ``evaluation_wall`` and ``evaluation_cpu`` of the part
        inside the problem's evaluation.
    """

    def __init__(
        self,
        key: Key,
        arrays: Mapping[str, Array],
        *,
        settings: Settings,
        provenance: Provenance,
        seconds: dict[str, float],
        ref_point: Floats | None,
        n_eval: int,
        log: dict[str, Json] | None = None,
        path: Path | None = None,
    ) -> None:
        self.key = key
        self.problem, self.algorithm = key.problem, key.algorithm
        self.seed, self.budget = key.seed, key.budget
        self.settings = settings
        self.provenance = provenance
        self.seconds = seconds
        self.ref_point = ref_point
        self.n_eval = n_eval
        self.log = {} if log is None else log
        self.path = path
        self._arrays = arrays
        self._volumes: dict[tuple[bytes, int], float] = {}

    def __repr__(self) -> str:
        return f"Run({self.key})"

    # ---------------------------------------------------------------------------------- arrays

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
        return rows([json.loads(line) for line in X.tolist()]) if X.dtype.kind == "U" else X

    # ------------------------------------------------------------------------------- measures

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

    # ---------------------------------------------------------------------------------- files

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
        scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        arrays: dict[str, Any] = dict(self._arrays)
        arrays["header"] = np.array(json.dumps(header))
        try:
            with scratch.open("wb") as file:
                np.savez_compressed(file, **arrays)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
        return path

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Run:
        """Read a run that `save` wrote; its large arrays are read at each access.

        Raises
        ------
        ValueError
            The file isn't such a run, or is damaged. The message names the file and the fault.
        """
        path = Path(path)
        arrays = FileArrays(path)
        text = str(arrays["header"])
        try:
            header = json.loads(text)
        except ValueError as error:
            raise damaged(path, f"a JSON header, got {error}") from error
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            actual = header.get("format") if isinstance(header, dict) else type(header).__name__
            raise damaged(path, f"'format' {FORMAT!r} in its header, got {actual!r}")
        try:
            key = Key(**header["key"])
            ref_point = header["ref_point"]
            seconds = {name: float(header["seconds"][name]) for name in _CLOCKS}
            run = cls(
                key,
                arrays,
                settings=dict(header["settings"]),
                provenance=cast("Provenance", dict(header["provenance"])),
                seconds=seconds,
                ref_point=None if ref_point is None else np.array(ref_point, dtype=float),
                n_eval=int(header["n_eval"]),
                log=dict(header.get("log", {})),
                path=path,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(path, f"a complete header, got {error!r}") from error
        if "F" not in arrays or "front_F" not in arrays or "front_X" not in arrays:
            raise damaged(path, "the arrays F, front_F and front_X")
        arrays.n_eval = run.n_eval
        return run


class FileArrays(Mapping[str, Array]):
    """The arrays of an npz file, each read anew at every access, so that none stays in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.n_eval: int | None = None
        self.names = self._read(lambda file: tuple(file.files))

    def __getitem__(self, name: str) -> Array:
        if name not in self.names:
            raise damaged(self.path, f"an array {name!r}")
        array: Array = self._read(lambda file: file[name])
        wrong_length = name in ("F", "CV", "G", "H") and len(array) != self.n_eval
        wrong_type = name not in ("header", "front_X") and array.dtype != np.float64
        if wrong_length or wrong_type:
            raise damaged(
                self.path,
                f"{name!r} to hold float64 numbers of {self.n_eval} evaluations, got "
                f"{array.dtype} of shape {array.shape}",
            )
        return array

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return (name for name in self.names if name != "header")

    def __len__(self) -> int:
        return len(self.names) - 1

    def _read(self, read: Callable[[NpzFile], T]) -> T:
        try:
            # numpy leaves a file open that it cannot read.
            with self.path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                return read(file)
        except FileNotFoundError:
            raise
        except _BROKEN as error:
            raise damaged(self.path, f"an npz file without pickles, got {error}") from error


def damaged(path: Path, expected: str) -> ValueError:
    """Return the error that names a file and what was expected of it."""
    return ValueError(
        f"{path}: expected {expected}. The file is damaged, or is not a run of an experiment. Move "
        "it to another folder; the next call makes the run again."
    )


def make_run(
    key: Key,
    arrays: Arrays,
    *,
    settings: Settings,
    provenance: Provenance,
    seconds: dict[str, float],
    ref_point: ArrayLike | None,
    log: object = None,
) -> Run:
    """Return a run that has just been made; values in its log that JSON lacks become text."""
    return Run(
        key,
        arrays,
        settings=settings,
        provenance=provenance,
        seconds=seconds,
        ref_point=None if ref_point is None else np.asarray(ref_point, dtype=float),
        n_eval=len(arrays["F"]),
        log=json.loads(json.dumps(log, default=str)) if isinstance(log, dict) else None,
    )
