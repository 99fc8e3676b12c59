"""Makes the user's problem of the stored runs importable under its stored name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
