from .learned_local_search import LearnedLocalSearch as LearnedLocalSearch
from .optuna_sampler import OptunaSampler as OptunaSampler
from .optuna_space import suggest_permutation as suggest_permutation
from .optuna_study import designs_of_study as designs_of_study
from .optuna_study import enqueue_front as enqueue_front
from .optuna_study import results_of_study as results_of_study
