"""Teach the agent that `dyna-ppo` begins with, on small networks that no task uses."""

import sys

from rlquant_experiments.commands.pretrain_agent import main

if __name__ == "__main__":
    sys.exit(main())
