"""Picture of deployments on several kinds of GPUs: cost against speed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from moela.notebook.style import SMALL, dress
from moela.plots.style import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Offer(NamedTuple):
    """Cost and speed of a deployment."""

    gpu: str
    n_gpus: int
    cost_per_hour: float
    cost_per_million: float
    speed: float  # tokens per second of a request


def plot_offers(
    offers: Sequence[Offer], *, title: str = "", path: str | Path | None = None
) -> Figure:
    """Draw the speed of a request against both costs, a look for each kind of GPU.

    Points of one kind and number of GPUs are joined; the number stands beside the fastest. The
    figure is saved if there is a path.
    """
    kinds = list(dict.fromkeys(offer.gpu for offer in offers))
    picture = Picture(kinds, 13.0, 5.6, title=title, path=path)
    panels = picture.figure.subplots(1, 2)
    labels = ("cost of a million tokens", "cost per hour")
    for axes, label, column in zip(panels, labels, ("cost_per_million", "cost_per_hour"),
                                   strict=True):  # fmt: skip
        _draw(axes, picture, offers, column, label)
    picture.add_title()
    picture.figure.legend(
        picture.handles(line=False), kinds, fontsize=SMALL, loc="outside right upper",
        framealpha=0.85, edgecolor="none",
    )  # fmt: skip
    return picture.done()


def _draw(axes: Axes, picture: Picture, offers: Sequence[Offer], column: str, label: str) -> None:
    """Draw one cost against speed."""
    from matplotlib.ticker import LogLocator, NullFormatter

    dress(axes, label, "tokens per second of a request")
    for gpu, n_gpus in dict.fromkeys((offer.gpu, offer.n_gpus) for offer in offers):
        some = [offer for offer in offers if (offer.gpu, offer.n_gpus) == (gpu, n_gpus)]
        points = np.array([(getattr(offer, column), offer.speed) for offer in some])
        x, y = points[np.lexsort(points.T)].T
        look = picture.styles[gpu]
        axes.plot(x, y, color=look.color, marker=look.marker, lw=1.2, ms=6, alpha=0.75)
        axes.annotate(
            str(n_gpus), (x[-1], y[-1]), xytext=(4, 4), textcoords="offset points",
            fontsize=SMALL - 2, color=look.color,
        )  # fmt: skip
    if min(getattr(offer, column) for offer in offers) > 0:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
