"""The folder of results that all `moela run` commands write: front.csv, run.json, best.json, ..."""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from moela._arrays import Designs, Floats
from moela.commands.output import plain, print_json
from moela.commands.run.search import advice
from moela.files.replacing import replacing
from moela.functions.results.result import MinimizeResult
from moela.provenance.environment import provenance
from moela.quality.indicators import hypervolume, is_exact
from moela.quality.table import Row
from moela.quality.words import amount

Values = Sequence[object]

# Options that say where and how to run, not what.
_NOT_SETTINGS = ("words", "json", "quiet", "lock")
INTERRUPTED = 130


class ResultFolder:
    """The result of a run, and the folder into which it is written.

    Parameters
    ----------
    out : Path
        The folder.
    found : tuple of MinimizeResult and float
        The result, and the seconds that it took.
    arguments : Namespace
        The options of the command.
    ref_point : float array [n_obj], optional
        Reference point of the hypervolume, all objectives minimized.

    Attributes
    ----------
    F : float array [n, n_obj]
        Objectives of the front with their own sign, best first in the first objective.
    X : array [n, n_var]
        Its designs.
    names : list of str
        Of the objectives.
    files : list of str
        Written so far.
    record : dict
        The content of run.json.
    """

    def __init__(
        self,
        out: Path,
        found: tuple[MinimizeResult, float],
        arguments: argparse.Namespace,
        ref_point: Floats | None = None,
    ) -> None:
        self.result, self._seconds = found
        front = self.result.front
        self.out, self.ref_point = out, ref_point
        self.F: Floats = front.F
        self.names = list(front.names)
        self.files: list[str] = []
        self.record: dict[str, object] = {}
        self._arguments = arguments
        self._complete = False
        self._n_var = self.result.problem.n_var

    @property
    def X(self) -> Designs:
        """Designs of the front, [n, n_var], integers if the problem's variables are."""
        X = np.array([individual.X for individual in self.result.front.population])
        X = X.reshape(-1, self._n_var)
        return X.astype(int) if self.result.problem.vtype is int else X

    def __len__(self) -> int:
        return len(self.F)

    def described(self, noun: str) -> str:
        """Return how many designs front.csv holds, in words, and which ones they are."""
        if self.result.feasible:
            return amount(len(self), f"non-dominated {noun}")
        return f"{amount(len(self), noun)} of least violation"

    def path(self, name: str) -> Path:
        """Return the path of a file in the folder, which is listed from now on."""
        if name not in self.files:
            self.files.append(name)
        return self.out / name

    def row(self, i: int) -> dict[str, object]:
        """Return row i for the record: its number and objectives."""
        return {"row": i, "objectives": dict(zip(self.names, self.F[i].tolist(), strict=True))}

    def write_front(self, columns: Mapping[str, Values] | None = None) -> None:
        """Write front.csv: objectives, further columns, and the variables ``x0, x1, ...``."""
        rows: list[Row] = []
        names = [f"x{j}" for j in range(self._n_var)]
        for i, (f, x) in enumerate(zip(self.F.tolist(), self.X.tolist(), strict=True)):
            more = {name: values[i] for name, values in (columns or {}).items()}
            own = dict(zip(self.names, f, strict=True))
            rows.append(own | more | dict(zip(names, x, strict=True)))
        self.write_table("front.csv", rows, [*self.names, *(columns or {}), *names])

    def write_table(self, name: str, rows: Sequence[Row], columns: Sequence[str]) -> None:
        """Write rows as CSV."""
        with (
            replacing(self.path(name)) as scratch,
            scratch.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
        ):
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def write_json(self, name: str, content: object) -> None:
        """Write a value as JSON."""
        text = json.dumps(plain(content), indent=2, default=str)
        with replacing(self.path(name)) as scratch:
            scratch.write_text(text + "\n", encoding="utf-8")

    def end_without_design(self, reason: str, cure: str) -> int:
        """End a command that writes feasible designs only, and has none.

        After Ctrl-C it says how to go on, and returns the status; else it raises a ValueError that
        ends with what to change.
        """
        if not self.result.interrupted:
            raise ValueError(f"{reason} {cure}")
        print(f"moela: {self.result.ending}. {reason}\n{advice(self._arguments)}", file=sys.stderr)
        return INTERRUPTED

    @contextmanager
    def rescuing(self) -> Iterator[None]:
        """Save everything evaluated elsewhere if the results cannot be written, as on a full disk.

        The OSError then says why, and where the evaluations are: in the store of the run, else in a
        new folder among the temporary files.
        """
        try:
            yield
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            if self._complete:  # only the summary could not be printed
                reason = f"{error.strerror or error}. The results are in {self.out}/"
                raise OSError(error.errno, reason, "standard output") from error
            reason = f"{error.filename or self.out}: {error.strerror or error}"
            raise OSError(
                f"The results cannot be written into {self.out} ({reason}). {self._rescued()}"
            ) from error

    def _rescued(self) -> str:
        """Return in words where everything evaluated is, after saving it if there is no store."""
        command, store = shlex.join(["moela", *self._arguments.words]), self._arguments.store
        if store is not None:
            return (
                f"Everything evaluated is in {store}: free some space, or name another folder by "
                f"--out, and run the same command again: {command}"
            )
        try:
            folder = Path(tempfile.mkdtemp(prefix="moela-results-"))
            names = ("evaluations.csv", "front.csv")
            files = [self.result.save(folder / name, all=name == names[0]) for name in names]
        except OSError as error:
            return (
                f"They could not be saved in {tempfile.gettempdir()} either "
                f"({error.strerror or error}). Free some space, and run the command again with "
                "--store, which keeps each evaluation as it ends."
            )
        return f"Everything evaluated is in {files[0]}, and the front in {files[1]}."

    def write_record(self, command: str, problem: str, version: str | None, **more: object) -> None:
        """Write run.json: the settings, the outcome, versions and machine.

        It is there before the hypervolume, which takes a while for large fronts.
        """
        signs, ref_point = self.result.signs, None
        if self.ref_point is not None and self.result.feasible:
            values = (signs * self.ref_point).tolist()
            ref_point = dict(zip(self.names, values, strict=True))
        senses = ["min" if sign > 0 else "max" for sign in signs]
        self.record = {
            "command": command,
            "settings": self._settings(),
            "problem": {
                "name": problem, "version": version, "objectives": self.names, "senses": senses
            },
            "ref_point": ref_point,
            "front_size": len(self),
            "feasible": self.result.feasible,
            "n_eval": self.result.n_eval,
            "seconds": round(self._seconds, 3),
            "ending": self.result.ending,
            "hypervolume": None,
            "hypervolume_is_exact": None,
            **more,
            **provenance(),
        }  # fmt: skip
        self.write_json("run.json", self.record)
        if self.ref_point is not None and ref_point is not None:
            F = signs * self.F
            n_inside = int((self.ref_point > F).all(axis=1).sum())
            exact = is_exact(n_inside, len(self.names))
            self.record["hypervolume"] = hypervolume(F, self.ref_point, exact=exact)
            self.record["hypervolume_is_exact"] = exact
            self.write_json("run.json", self.record)

    def _settings(self) -> dict[str, object]:
        """Return the options of the command, with the algorithm that ran if none was named."""
        options = {k: v for k, v in vars(self._arguments).items() if k not in _NOT_SETTINGS}
        if options.get("algorithm", "") is None and self.result.algorithm is not None:
            options["algorithm"] = type(self.result.algorithm).__name__.lower()
        return options

    def finish(self, lines: Sequence[object]) -> int:
        """Print lines of text, or with ``--json`` the record and the files; return the status.

        The status is 130 if Ctrl-C has stopped the run; then the way to go on is printed, too.
        """
        self._complete = True
        if self._arguments.json:
            print_json(self.record | {"out": str(self.out), "files": self.files})
        else:
            for line in lines:
                print(line)
        with suppress(ValueError):  # it is closed
            sys.stdout.flush()
        if not self.result.interrupted:
            return 0
        message = f"{self.result.ending}; the result so far is in {self.out}/."
        print(f"moela: {message}\n{advice(self._arguments)}", file=sys.stderr)
        return INTERRUPTED
