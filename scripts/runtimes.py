"""Measure files for onnxruntime in blocks of few bits: bytes, loss and seconds."""

import sys

from rlquant_experiments.commands.runtimes import main

if __name__ == "__main__":
    sys.exit(main())
