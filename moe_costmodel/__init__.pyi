from .buffering.replay import (
    POLICIES as POLICIES,
)
from .buffering.replay import (
    ExpertStream as ExpertStream,
)
from .buffering.replay import (
    MissCurves as MissCurves,
)
from .buffering.replay import (
    expert_streams as expert_streams,
)
from .buffering.replay import (
    miss_curves as miss_curves,
)
from .buffering.replay import (
    replay as replay,
)
from .deployment.evaluation import Evaluation as Evaluation
from .deployment.model import DeploymentModel as DeploymentModel
from .gating.quality import (
    GateMass as GateMass,
)
from .gating.quality import (
    LossUnderRule as LossUnderRule,
)
from .gating.quality import (
    gate_mass as gate_mass,
)
from .gating.quality import (
    keep_choices as keep_choices,
)
from .gating.quality import (
    measured_loss as measured_loss,
)
from .gating.rules import (
    GateRule as GateRule,
)
from .gating.rules import (
    keep_mask as keep_mask,
)
from .hardware import (
    Hardware as Hardware,
)
from .hardware import (
    Link as Link,
)
from .latency.buffer_cost import BufferCost as BufferCost
from .latency.layer_table import LayerTable as LayerTable
from .latency.measure_rest import (
    MeasuredModel as MeasuredModel,
)
from .latency.measure_rest import (
    measure_model as measure_model,
)
from .latency.measure_rest import (
    measure_rest as measure_rest,
)
from .latency.model import (
    FitReport as FitReport,
)
from .latency.model import (
    LatencyModel as LatencyModel,
)
from .latency.model import (
    Prediction as Prediction,
)
from .latency.step import (
    MemoryModel as MemoryModel,
)
from .latency.step import (
    RestOfModel as RestOfModel,
)
from .latency.step import (
    StepModel as StepModel,
)
from .measure.kernel_table import KernelTable as KernelTable
from .measure.kernels import measure_kernels as measure_kernels
from .measure.measurements import (
    Measurements as Measurements,
)
from .measure.measurements import (
    Record as Record,
)
from .objectives import (
    OBJECTIVES as OBJECTIVES,
)
from .objectives import (
    Predicted as Predicted,
)
from .placement.heuristics import (
    anti_correlation as anti_correlation,
)
from .placement.heuristics import (
    contiguous as contiguous,
)
from .placement.heuristics import (
    greedy as greedy,
)
from .placement.heuristics import (
    replicate_and_pack as replicate_and_pack,
)
from .placement.placement import (
    Placement as Placement,
)
from .placement.placement import (
    avg_max_load as avg_max_load,
)
from .placement.placement import (
    balancedness as balancedness,
)
from .placement.placement import (
    cross_node_traffic as cross_node_traffic,
)
from .placement.placement import (
    max_load as max_load,
)
from .placement.placement import (
    migration_bytes as migration_bytes,
)
from .placement.search import (
    OptimalPlacement as OptimalPlacement,
)
from .placement.search import (
    optimal_placement as optimal_placement,
)
from .placement.search import (
    swap_search as swap_search,
)
from .plans.decision import Decision as Decision
from .plans.plan import Plan as Plan
from .shapes import LayerShape as LayerShape
from .traces.describe import (
    TraceDescription as TraceDescription,
)
from .traces.describe import (
    static_waste as static_waste,
)
from .traces.families import FAMILIES as FAMILIES
from .traces.record import edit_routing as edit_routing
from .traces.trace import RoutingTrace as RoutingTrace
