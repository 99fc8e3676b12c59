"""Classic combinatorial problems with several objectives, seeded, with exact fronts where possible.

`MultiObjectiveQAP`, `MultiObjectiveKnapsack` and `MNKLandscape` are pymoo problems for judging
optimizers. Small instances are solved exactly, public instance files can be read, and each problem
has its own operators and neighbors. Each module lists its references.
"""

from problems.classic.front import KnownFront
from problems.classic.knapsack.problem import MultiObjectiveKnapsack
from problems.classic.mnk.problem import MNKLandscape
from problems.classic.qap.problem import MultiObjectiveQAP

__all__ = ["KnownFront", "MNKLandscape", "MultiObjectiveKnapsack", "MultiObjectiveQAP"]
