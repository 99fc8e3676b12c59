"""Pictures of comparisons by matplotlib: one color per algorithm, readable at half size."""

from moela.plots.attainment import plot_attainment, plot_attainment_difference
from moela.plots.compared_fronts import plot_2d, plot_3d, plot_matrix, plot_parallel
from moela.plots.curves import plot_convergence, plot_profile
from moela.plots.ranks import plot_ranks, plot_values
from moela.plots.style import Look, looks

__all__ = [
    "Look",
    "looks",
    "plot_2d",
    "plot_3d",
    "plot_attainment",
    "plot_attainment_difference",
    "plot_convergence",
    "plot_matrix",
    "plot_parallel",
    "plot_profile",
    "plot_ranks",
    "plot_values",
]
