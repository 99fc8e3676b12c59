"""Classic combinatorial problems with several objectives, seeded, with exact fronts where possible.

`MultiObjectiveQAP`, `MultiObjectiveKnapsack` and `MNKLandscape` are pymoo problems against which
an optimizer can be judged: small instances are solved exactly, public instance files can be read,
and each brings operators and neighbors of its own. Each module lists its references.
"""

from problems.classic.front import KnownFront
from problems.classic.knapsack.problem import MultiObjectiveKnapsack
from problems.classic.mnk.problem import MNKLandscape
from problems.classic.qap.problem import MultiObjectiveQAP

__all__ = ["KnownFront", "MNKLandscape", "MultiObjectiveKnapsack", "MultiObjectiveQAP"]
