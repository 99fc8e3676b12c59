#!/usr/bin/env bash
# Tests with the oldest version of every dependency that pyproject.toml allows, on its oldest Python:
# bash tests/lower_bounds.sh [arguments of pytest]. Takes about four minutes.
set -euo pipefail
cd "$(dirname "$0")/.."
export UV_NATIVE_TLS=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

environment=$PWD/.venv-lower
"${PYTHON:-python3.11}" -m venv --clear "$environment"
"$environment/bin/pip" install -q uv
# matplotlib 3.8 uses names of pyparsing for which later releases warn, and warnings are errors.
"$environment/bin/uv" pip install -q --python "$environment/bin/python" --resolution lowest-direct \
  -e ".[test,tables,report,optuna]" "pyparsing>=3.1,<3.2"
"$environment/bin/uv" pip list --python "$environment/bin/python"

[ $# -gt 0 ] || set -- tests/test_imports.py tests/moela/functions tests/moela/quality \
  tests/moela/search/test_moela.py tests/moela/search/test_evolution.py
"$environment/bin/python" -m pytest -q -p no:cacheprovider "$@"
