"""Measure what calibration is worth on a pretrained task: a table of uniform widths by methods."""

import sys

from rlquant_experiments.commands.calibration import main

if __name__ == "__main__":
    sys.exit(main())
