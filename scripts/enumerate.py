"""Score every configuration of a space and write a table: an enumerated benchmark."""

import sys

from rlquant_experiments.commands.enumerate import main

if __name__ == "__main__":
    sys.exit(main())
