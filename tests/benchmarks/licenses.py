"""Licenses of the direct dependencies, from the metadata of the installed packages.

    python -m tests.benchmarks.licenses --out docs/dependencies.md

Reads the names in ``pyproject.toml``. All extras must be installed.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

from tests.benchmarks import harness

ROOT = Path(__file__).parents[2]
PURPOSE = {
    "dependencies": "always installed",
    "test": "for the tests",
    "docs": "for the documentation",
    "lint": "for style and types",
}
WORDS = {
    "Apache": "Apache-2.0", "MIT": "MIT", "BSD": "BSD", "MPL": "MPL-2.0", "LGPL": "LGPL",
    "GPL": "GPL", "PSF": "PSF", "Python Software": "PSF", "ISC": "ISC",
}  # fmt: skip


def groups() -> dict[str, list[str]]:
    """Return the names of the dependencies by group, without moela's own extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = {"dependencies": project["dependencies"]} | project["optional-dependencies"]
    names = {
        group: [re.split(r"[\s<>=!~;\[]", text)[0] for text in texts]
        for group, texts in found.items()
    }
    return {
        group: [n for n in own if n != "moela"] for group, own in names.items() if group != "all"
    }


def license_of(name: str) -> str:
    """Return the license of an installed package in a word or two."""
    try:
        found = metadata(name)
    except PackageNotFoundError:
        return "not installed here"
    if expression := found.get("License-Expression"):
        return expression
    classified = [
        text.rpartition(":: ")[2]
        for text in found.get_all("Classifier", [])
        if text.startswith("License ::")
    ]
    text = (found.get("License") or "").strip().splitlines()
    for given in (*classified, *text[:3]):
        for word, license in WORDS.items():
            if word in given:
                return license
    return classified[0] if classified else "not stated in its metadata"


def main() -> None:
    """Write the page."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--out")
    arguments = parser.parse_args()
    rows = [["package", "license", "installed"]]
    seen: dict[str, list[str]] = {}
    for group, names in groups().items():
        for name in names:
            seen.setdefault(name, []).append(PURPOSE.get(group, f"extra `{group}`"))
    rows += [[name, license_of(name), ", ".join(where)] for name, where in seen.items()]
    about = (
        "moela is licensed under Apache-2.0. These are the packages that it imports, with the "
        "licenses that their installed metadata state."
    )
    parts = [harness.header("Dependencies and their licenses", "tests.benchmarks.licenses", about)]
    harness.finish([*parts, harness.markdown(rows)], arguments.out)


if __name__ == "__main__":
    main()
