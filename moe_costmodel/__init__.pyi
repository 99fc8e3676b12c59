from .advice.advise import advise as advise
from .advice.recommendation import (
    Migration as Migration,
)
from .advice.recommendation import (
    Recommendation as Recommendation,
)
from .advice.recommendation import (
    TraceAdvice as TraceAdvice,
)
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
from .deployment.miss_timer import (
    fit_miss_cost as fit_miss_cost,
)
from .deployment.miss_timer import (
    measure_misses as measure_misses,
)
from .deployment.model import DeploymentModel as DeploymentModel
from .deployment.request_steps import DeployedSteps as DeployedSteps
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
from .latency.model import (
    FitReport as FitReport,
)
from .latency.model import (
    LatencyModel as LatencyModel,
)
from .latency.prediction import (
    Prediction as Prediction,
)
from .latency.steps.measure_rest import (
    MeasuredModel as MeasuredModel,
)
from .latency.steps.measure_rest import (
    measure_model as measure_model,
)
from .latency.steps.measure_rest import (
    measure_rest as measure_rest,
)
from .latency.steps.memory import (
    MemoryModel as MemoryModel,
)
from .latency.steps.rest_of_model import (
    RestOfModel as RestOfModel,
)
from .latency.steps.step import (
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
from .models.attention import Attention as Attention
from .models.shape import Block as Block
from .models.shape import ExpertShape as ExpertShape
from .models.shape import ModelShape as ModelShape
from .objectives import (
    OBJECTIVES as OBJECTIVES,
)
from .objectives import (
    SERVING_OBJECTIVES as SERVING_OBJECTIVES,
)
from .objectives import (
    Predicted as Predicted,
)
from .offloading.bound import least_seconds as least_seconds
from .offloading.cache_aware import (
    CacheAwareGating as CacheAwareGating,
)
from .offloading.cache_aware import (
    LossWithCache as LossWithCache,
)
from .offloading.cache_aware import (
    loss_with_cache as loss_with_cache,
)
from .offloading.cost import MissCost as MissCost
from .offloading.headroom import (
    Headroom as Headroom,
)
from .offloading.headroom import (
    HeadroomRow as HeadroomRow,
)
from .offloading.headroom import (
    headroom as headroom,
)
from .offloading.planner import (
    OffloadPlan as OffloadPlan,
)
from .offloading.planner import (
    plan_offload as plan_offload,
)
from .offloading.policies import (
    OFFLOAD_POLICIES as OFFLOAD_POLICIES,
)
from .offloading.policies import (
    Admission as Admission,
)
from .offloading.replay import (
    OffloadCurves as OffloadCurves,
)
from .offloading.replay import (
    OffloadEvents as OffloadEvents,
)
from .offloading.replay import (
    offload_curves as offload_curves,
)
from .offloading.replay import (
    offload_events as offload_events,
)
from .offloading.rule import OffloadRule as OffloadRule
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
from .plans.engines.registry import ENGINES as ENGINES
from .plans.engines.registry import engine_command as engine_command
from .plans.engines.settings import ServerSettings as ServerSettings
from .plans.plan import Plan as Plan
from .plans.serving_plan import ServingPlan as ServingPlan
from .plans.serving_plan import ServingPool as ServingPool
from .serving.composed import ComposedSteps as ComposedSteps
from .serving.layouts import legal_layouts as legal_layouts
from .serving.profile import ProfiledKernels as ProfiledKernels
from .serving.rates import MaxRate as MaxRate
from .serving.rates import RateSweep as RateSweep
from .serving.rates import max_rate as max_rate
from .serving.rates import rate_sweep as rate_sweep
from .serving.requests import Request as Request
from .serving.requests import TokenLengths as TokenLengths
from .serving.requests import at_rate as at_rate
from .serving.requests import poisson_requests as poisson_requests
from .serving.requests import read_requests as read_requests
from .serving.scheduler import RankLoad as RankLoad
from .serving.scheduler import Scheduler as Scheduler
from .serving.scheduler import ServedRequests as ServedRequests
from .serving.scheduler import simulate as simulate
from .serving.summary import ServingSummary as ServingSummary
from .shapes import LayerShape as LayerShape
from .silicon.calibration import CalibratedTimes as CalibratedTimes
from .silicon.calibration import CalibrationData as CalibrationData
from .silicon.calibration import ServingCalibration as ServingCalibration
from .silicon.closed_loop import ClosedLoop as ClosedLoop
from .silicon.closed_loop import LoopTimes as LoopTimes
from .silicon.closed_loop import StepCurves as StepCurves
from .silicon.layout import Layout as Layout
from .silicon.memory import GpuMemory as GpuMemory
from .silicon.memory import gpu_memory as gpu_memory
from .silicon.sample import ServingPoint as ServingPoint
from .silicon.sample import read_sample as read_sample
from .silicon.serving import ServingEstimate as ServingEstimate
from .silicon.serving import compose_serving as compose_serving
from .silicon.step import SiliconModel as SiliconModel
from .silicon.step_time import Chunk as Chunk
from .silicon.step_time import StepTime as StepTime
from .silicon.tables.package import gpu_names as gpu_names
from .silicon.tables.reader import OperatorTime as OperatorTime
from .silicon.wide_ep import wide_ep_step as wide_ep_step
from .traces.describe import (
    TraceDescription as TraceDescription,
)
from .traces.describe import (
    static_waste as static_waste,
)
from .traces.families import FAMILIES as FAMILIES
from .traces.record import edit_routing as edit_routing
from .traces.sampling import (
    sample_loads as sample_loads,
)
from .traces.sampling import (
    sample_tokens as sample_tokens,
)
from .traces.trace import RoutingTrace as RoutingTrace
