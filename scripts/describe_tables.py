"""Describe complete tables: the space, the exact front, the optimum under each budget."""

import sys

from rlquant_experiments.commands.describe_tables import main

if __name__ == "__main__":
    sys.exit(main())
