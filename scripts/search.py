"""The command `rlquant search`, in a clone: `python scripts/search.py --help`."""

import sys

from rlquant_agents.cli.search import main

if __name__ == "__main__":
    sys.exit(main())
