"""Exhaustively enumerated benchmarks: tables of every configuration, and problems over them."""
