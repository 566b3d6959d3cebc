"""The command `rlquant train-agent`, in a clone: `python scripts/train_agent.py --help`."""

import sys

from rlquant_agents.cli.train_agent import main

if __name__ == "__main__":
    sys.exit(main())
