from .buffered import (
    BufferedExperts as BufferedExperts,
)
from .buffered import (
    BufferStatistics as BufferStatistics,
)
from .dynamic import (
    dynamic_gating as dynamic_gating,
)
from .dynamic import (
    expert_products as expert_products,
)
from .experts import (
    Experts as Experts,
)
from .experts import (
    reference as reference,
)
from .memory import peak_activation_bytes as peak_activation_bytes
from .offloaded import (
    OffloadedExperts as OffloadedExperts,
)
from .offloaded import (
    OffloadStatistics as OffloadStatistics,
)
from .padded import padded_batch as padded_batch
from .parallel import ExpertParallel as ExpertParallel
from .residency import (
    RESIDENCY_POLICIES as RESIDENCY_POLICIES,
)
from .residency import (
    Residency as Residency,
)
from .router import (
    apply_rule as apply_rule,
)
from .router import (
    route as route,
)
from .static import static_gating as static_gating
