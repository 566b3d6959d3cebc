"""Compare searchers with equal evaluations, on one task or on tables whose optimum is known."""

import sys

from rlquant_experiments.commands.compare import main

if __name__ == "__main__":
    sys.exit(main())
