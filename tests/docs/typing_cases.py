"""Programs of users for type checkers: the README and the recipes, and mistakes to be found."""

from __future__ import annotations

from pathlib import Path

from tests.docs.blocks import RECIPES, ROOT, blocks_of

# Each must be refused. The first line is shared.
HEAD = "import moela, moela.rivals\n\n\ndef f(d):\n    return d['x'], 1 / d['x']\n\n\n"
ARGUMENTS = "f, variables={'x': (0.1, 1.0)}, objectives=['a', 'b']"
MISTAKES = (
    f"moela.minimize({ARGUMENTS}, n_evals=100)",
    f"moela.minimize({ARGUMENTS}, n_eval='100')",
    f"moela.minimize({ARGUMENTS}, n_eval=100, on_error='ignore')",
    f"moela.minimize({ARGUMENTS}, n_eval=100, n_jobs='all')",
    f"moela.minimize({ARGUMENTS}, n_eval=100, time_limit=['8h'])",
    f"moela.minimize({ARGUMENTS}, n_eval=100, constraints={{'a': 3}})",
    f"moela.minimize({ARGUMENTS}, n_eval=100).knees()",
    "moela.minimize(f, variables=[('x', (0.1, 1.0))], objectives=['a', 'b'], n_eval=100)",
    "moela.minimize(f, variables={'x': (0.1, 1.0)}, objectives=3, n_eval=100)",
    "moela.problem(f, variable={'x': (0.1, 1.0)}, objectives=['a', 'b'])",
    "moela.problem(f, variables={'x': (0.1, 1.0)}, objectives=['a', 'b'], vectorised=True)",
    "moela.MOELA(n_neighbour=5)",
    "moela.MOELA(n_neighbors='5')",
    "moela.MOELA(pop_size=100)",
    "moela.MOELA(restarts='always')",
    "moela.rivals.MOOS(n_steps=3)",
    "moela.Models(start=None)",
    "moela.Evaluator(njobs=2)",
    "moela.Evaluator(n_jobs='two')",
    "moela.Evaluator(on_error='ignore')",
    "moela.Evaluator(on_interrupt='stop')",
    "moela.EvaluationStore('run.db').run()",
    "moela.real(0, 1, logs=True)",
    "moela.integer('1', 5)",
    "moela.permutation(2.5)",
    "moela.choice(5)",
    "moela.minimise",
    "moela.compare([], baselines='MOELA')",
)


def write_programs(folder: Path) -> dict[str, Path]:
    """Write each block of README and recipes as a program of its own; return them by name."""
    programs = {}
    for page in (ROOT / "README.md", *RECIPES):
        for n, block in enumerate(blocks_of(page)):
            name = f"{page.stem.lower()}_{n}.py"
            programs[name] = folder / name
            programs[name].write_text(block, encoding="utf-8")
    return programs


def write_mistakes(folder: Path) -> tuple[Path, range]:
    """Write a program whose lines are mistakes; return it and the numbers of these lines."""
    path = folder / "mistakes.py"
    path.write_text(HEAD + "\n".join(MISTAKES) + "\n", encoding="utf-8")
    first = HEAD.count("\n") + 1
    return path, range(first, first + len(MISTAKES))


def write_mypy_config(folder: Path) -> Path:
    """Write a configuration of mypy for a user without stubs; large packages are skipped."""
    path = folder / "mypy.ini"
    path.write_text(
        f"""[mypy]
mypy_path = {ROOT}
follow_imports = silent
ignore_missing_imports = true

[mypy-torch.*,matplotlib.*,numba.*,pandas.*,scipy.*,sklearn.*,pymoo.*,optuna.*,distributed.*,\
ray.*,dask.*,IPython.*,jinja2.*]
follow_imports = skip
follow_imports_for_stubs = true
""",
        encoding="utf-8",
    )
    return path
