"""Measure what evaluations on few tokens say of whole ones, on a pretrained network."""

import sys

from rlquant_experiments.commands.token_stages import main

if __name__ == "__main__":
    sys.exit(main())
