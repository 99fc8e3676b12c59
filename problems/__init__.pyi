from .classic import (
    MNKLandscape as MNKLandscape,
)
from .classic import (
    MultiObjectiveKnapsack as MultiObjectiveKnapsack,
)
from .classic import (
    MultiObjectiveQAP as MultiObjectiveQAP,
)
from .moe import (
    ExpertBuffering as ExpertBuffering,
)
from .moe import (
    ExpertPlacement as ExpertPlacement,
)
from .moe import (
    GatingThresholds as GatingThresholds,
)
from .moe import (
    MoEDeployment as MoEDeployment,
)
from .moe import (
    MoEServing as MoEServing,
)
from .moe_on_chip import MoEOnChip as MoEOnChip
from .noc import NoC3D as NoC3D
