"""The commands that make pages of docs/results, one file each; `scripts/` calls them."""
