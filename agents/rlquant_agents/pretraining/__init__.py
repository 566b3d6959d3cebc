"""How the agent that comes with the package was taught: networks, tables of them, and training."""
