"""The command `rlquant report`, in a clone: `python scripts/report.py --help`."""

import sys

from rlquant_agents.cli.report import main

if __name__ == "__main__":
    sys.exit(main())
