"""Blocks of Python on the pages: to run them, and to hand them to type checkers."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RECIPES = sorted(page for page in (DOCS / "recipes").glob("*.md") if page.stem != "index")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks_of(page: Path) -> list[str]:
    """Return the blocks of Python on a page, without those that are files to be written."""
    return [block for block in _blocks(page) if not block.startswith("# file: ")]


def files_of(page: Path) -> dict[str, str]:
    """Return the texts of the blocks that begin with ``# file: NAME``, by name."""
    named = [block for block in _blocks(page) if block.startswith("# file: ")]
    return {block.partition("\n")[0].removeprefix("# file: "): block for block in named}


def run_blocks(page: Path) -> dict[str, object]:
    """Run the blocks of a page one after another in this folder; return what they define."""
    for name, text in files_of(page).items():
        Path(name).write_text(text, encoding="utf-8")
    names: dict[str, object] = {"__name__": page.stem}
    exec(compile("\n".join(blocks_of(page)), str(page), "exec"), names)
    return names


def _blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text_of(page), flags=re.DOTALL)
