"""Try for some minutes to break what rlquant promises: damage, kills, odd arguments, odd places."""

import sys

from rlquant_experiments.commands.fuzz import main

if __name__ == "__main__":
    sys.exit(main())
