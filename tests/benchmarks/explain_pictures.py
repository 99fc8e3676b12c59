"""Pictures of docs/functions.md: importances and slices of a heat sink.

python -m tests.benchmarks.explain_pictures docs/images
"""

from __future__ import annotations

import argparse
from pathlib import Path

import moela
from tests.benchmarks.function_encodings import CASES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    case = dict(CASES["heat sink"])
    function = case.pop("function")
    importances = moela.minimize(function, **case, n_eval=600, verbose=False).importances()
    print(importances)
    importances.plot(path=folder / "importances.png")
    importances.plot_slices(path=folder / "slices.png")


if __name__ == "__main__":
    main()
