"""Record the results of fixed searches, or say how two records differ."""

import sys

from rlquant_experiments.commands.reference_results import main

if __name__ == "__main__":
    sys.exit(main())
