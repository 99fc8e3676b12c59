"""`python -m moela`."""

import sys

from moela.cli import main

sys.exit(main())
