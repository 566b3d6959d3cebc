"""What leaves the tool: the packed file."""
