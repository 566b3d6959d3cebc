"""Compare searches of pretrained networks: the page of what `real_networks` measured."""

import sys

from rlquant_experiments.commands.agents_at_scale import main

if __name__ == "__main__":
    sys.exit(main())
