"""Measure how fast rlquant is, against the targets that it should reach."""

import sys

from rlquant_experiments.commands.benchmark import main

if __name__ == "__main__":
    sys.exit(main())
