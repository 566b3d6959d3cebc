"""Comparisons of searchers on tasks and on exhaustively enumerated tables."""
