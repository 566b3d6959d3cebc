"""Measure pretrained networks, quantized uniformly and by searches."""

import sys

from rlquant_experiments.commands.real_networks import main

if __name__ == "__main__":
    sys.exit(main())
