from .measured import (
    EXAMPLE_LINK as EXAMPLE_LINK,
)
from .measured import (
    example_hardware as example_hardware,
)
from .measured import (
    example_latency as example_latency,
)
from .measured import (
    example_measurements as example_measurements,
)
from .measured import (
    example_memory as example_memory,
)
from .measured import (
    example_rest as example_rest,
)
from .measured import (
    example_shape as example_shape,
)
from .packaged import (
    load_model as load_model,
)
from .packaged import (
    loss_curve as loss_curve,
)
from .packaged import (
    to_transformers as to_transformers,
)
from .packaged import (
    trace_path as trace_path,
)
from .record import excerpts as excerpts
