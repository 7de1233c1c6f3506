"""`python -m murmura`: the command, where its script is not on the path."""

import sys

from murmura.cli import main

sys.exit(main())
