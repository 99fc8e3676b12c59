"""The user's problem of the stored runs is importable under the name that it had."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
