"""A problem as a user writes one; its module is part of what a store remembers."""

import numpy as np
from pymoo.core.problem import Problem


class Beam(Problem):
    """Mass and deflection of a beam, limited in stress; it holds a packaged object as well."""

    def __init__(self, load=2.0, platform=None):
        super().__init__(n_var=3, n_obj=2, n_ieq_constr=1, xl=0.1, xu=1.0)
        self.load = load
        self.platform = platform
        self.version = "1"

    def _evaluate(self, X, out, *args, **kwargs):
        area, length, height = X.T
        out["F"] = np.column_stack([area * length, self.load * length**3 / (area * height**2)])
        out["G"] = self.load * length[:, None] / (area * height)[:, None] - 50.0
