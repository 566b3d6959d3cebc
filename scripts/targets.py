"""Measure files for deployment targets: llama.cpp's recipes, and searches at their bytes."""

import sys

from rlquant_experiments.commands.targets import main

if __name__ == "__main__":
    sys.exit(main())
