"""Exhaustively enumerated tables: measuring every configuration of a live problem."""
