"""The description of the package for PyPI: the README without pictures and links into the tree.

PyPI shows neither: it resolves no relative links.
"""

from __future__ import annotations

import re
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface


def description(readme: str) -> str:
    """Return a README without pictures, and the captions below them, and with absolute links only.

    A caption is a paragraph in italics right below a picture.
    """
    text = re.sub(r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n\n(?:\*[^*]+\*\n\n)?", "", readme)
    return re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]*\)", r"\1", text)


class DescriptionHook(MetadataHookInterface):
    """Sets the description when the package is built."""

    def update(self, metadata: dict[str, object]) -> None:
        """Set the description in the metadata of the project."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": description(text)}
