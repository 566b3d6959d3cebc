"""Measure what workers bring to searches, and simulate hundreds of them."""

import sys

from rlquant_experiments.commands.scaling import main

if __name__ == "__main__":
    sys.exit(main())
