"""Re-run the claims of a paper with this library: a report with tables, verdicts and a figure."""

import sys

from rlquant_experiments.commands.reproduce import main

if __name__ == "__main__":
    sys.exit(main())
