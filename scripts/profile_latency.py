"""The command `rlquant profile-latency`, in a clone: `python scripts/profile_latency.py --help`."""

import sys

from rlquant_agents.cli.profile_latency import main

if __name__ == "__main__":
    sys.exit(main())
