"""Teach a policy over the layers of large networks, and measure what it is worth."""

import sys

from rlquant_experiments.commands.pretrain_encoder import main

if __name__ == "__main__":
    sys.exit(main())
