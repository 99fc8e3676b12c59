"""ShownFigure: a figure that shows itself in a notebook."""

from __future__ import annotations

import io
import warnings
from functools import lru_cache

from matplotlib import font_manager, rc_context, rcParams
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.text import Text

_DPI = 80
# Fonts that systems have for scripts which matplotlib's own font lacks.
_OTHER_SCRIPTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Source Han Sans SC",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback", "Microsoft YaHei", "SimHei",
    "PingFang SC", "Hiragino Sans GB", "Hiragino Sans", "Yu Gothic", "MS Gothic", "Malgun Gothic",
    "Apple SD Gothic Neo", "Noto Sans Devanagari", "Noto Sans Thai", "Nirmala UI", "Leelawadee UI",
    "Arial Unicode MS",
)  # fmt: skip


class ShownFigure(Figure):
    """A figure without pyplot, which a notebook shows if it is the value of a cell.

    pyplot shows its figures at the end of a cell, so that one which a cell also returns appears
    twice; it would change the caller's backend, too. Other figures appear as text only. This one
    appears once. Letters that the font lacks come from other fonts, as far as these are installed;
    a single warning names the rest.
    """

    def _repr_png_(self) -> bytes:
        return png(self)

    def draw(self, renderer: RendererBase) -> None:
        """Draw with fonts for all scripts."""
        own = list(rcParams["font.family"])
        texts = [text for text in self.findobj(Text) if text.get_fontfamily() == own]
        letters = {c for text in texts for c in text.get_text() if ord(c) > 127 and c.isprintable()}
        missing = _missing(letters, own) if letters else set()
        if not missing:
            super().draw(renderer)
            return
        families = [*own, *_installed()]
        for text in texts:
            text.set_fontfamily(families)
        with rc_context({"font.family": families}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph \d+ .*missing", UserWarning)
            super().draw(renderer)
        nowhere = "".join(sorted(_missing(missing, families)))
        if nowhere and nowhere != getattr(self, "_warned", ""):
            self._warned = nowhere
            warnings.warn(
                f"No font for pictures has the letters {nowhere}. Install one that has, such as "
                "Noto Sans CJK for Chinese, Japanese and Korean.",
                stacklevel=2,
            )


@lru_cache(maxsize=1)
def _installed() -> tuple[str, ...]:
    """Return the fonts for other scripts that matplotlib finds."""
    found = {font.name for font in font_manager.fontManager.ttflist}
    return tuple(name for name in _OTHER_SCRIPTS if name in found)


def _missing(letters: set[str], families: list[str]) -> set[str]:
    """Return the letters that none of these fonts has."""
    for family in families:
        path = font_manager.findfont(font_manager.FontProperties(family=[family]))
        font = font_manager.get_font(path)
        letters = letters - {chr(code) for code in font.get_charmap()}
    return letters


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file for a notebook."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()
