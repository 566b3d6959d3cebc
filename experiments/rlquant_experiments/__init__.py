"""Code that makes the pages of docs/results; not part of the wheel."""
