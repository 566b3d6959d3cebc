"""Score every configuration of a space and write a table: a landscape that is known completely."""

import sys

from rlquant_experiments.commands.enumerate import main

if __name__ == "__main__":
    sys.exit(main())
