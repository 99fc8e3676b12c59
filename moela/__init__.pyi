from ._version import __version__ as __version__
from .comparison import (
    Comparison as Comparison,
)
from .comparison import (
    compare as compare,
)
from .comparison import (
    front_of as front_of,
)
from .evaluation.evaluator import Evaluator as Evaluator
from .evaluation.progress.lines import log_to_stderr as log_to_stderr
from .evaluation.runners.outcome import (
    EvaluationError as EvaluationError,
)
from .evaluation.runners.outcome import (
    failed as failed,
)
from .evaluation.storage.errors import StoreError as StoreError
from .evaluation.storage.errors import StoreMismatchError as StoreMismatchError
from .evaluation.storage.reader import (
    EvaluationStore as EvaluationStore,
)
from .evaluation.termination import ElapsedTime as ElapsedTime
from .experiments.run import (
    ExperimentResults as ExperimentResults,
)
from .experiments.run import (
    External as External,
)
from .experiments.run import (
    run_experiment as run_experiment,
)
from .functions.minimize import minimize as minimize
from .functions.model.problem import problem as problem
from .functions.model.variables import (
    boolean as boolean,
)
from .functions.model.variables import (
    choice as choice,
)
from .functions.model.variables import (
    integer as integer,
)
from .functions.model.variables import (
    permutation as permutation,
)
from .functions.model.variables import (
    real as real,
)
from .functions.results.result import MinimizeResult as MinimizeResult
from .learning.models import Models as Models
from .plots.front import plot_front as plot_front
from .plugins.learned_local_search import LearnedLocalSearch as LearnedLocalSearch
from .quality.front import Front as Front
from .search.moela import MOELA as MOELA
from .watch.listing import describe_runs as describe_runs
