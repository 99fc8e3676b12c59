"""Cases of a long benchmark, each kept in a JSON file as soon as it is done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Case = dict[str, Any]


class Cases:
    """Results by name; a script that is started again takes those that it finds.

    Parameters
    ----------
    path : str or Path or None
        JSON file, created after the first case; None keeps nothing.
    show : bool
        Whether each new result is printed.
    """

    def __init__(self, path: str | Path | None, *, show: bool = True) -> None:
        self.path, self.show = None if path is None else Path(path), show
        self.results: dict[str, Case] = {}
        if self.path is not None and self.path.exists():
            self.results = json.loads(self.path.read_text(encoding="utf-8"))

    def __contains__(self, name: str) -> bool:
        return name in self.results

    def get(self, name: str, make: Callable[[], Case]) -> Case:
        """Return the result of a case, made now unless it is in the file."""
        if name not in self.results:
            self.results[name] = make()
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                text = json.dumps(self.results, indent=0, sort_keys=True)
                self.path.write_text(text + "\n", encoding="utf-8")
            if self.show:
                print(name, self.results[name], flush=True)
        return self.results[name]
