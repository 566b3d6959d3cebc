"""Compare ways to find a whole front of loss against size, with equal evaluations."""

import sys

from rlquant_experiments.commands.compare_fronts import main

if __name__ == "__main__":
    sys.exit(main())
