"""Fault campaign: corrupt files, kills, odd arguments and ambient modes, for some minutes."""

import sys

from rlquant_experiments.commands.fuzz import main

if __name__ == "__main__":
    sys.exit(main())
