"""Searchers: one file or folder each, made by name."""
