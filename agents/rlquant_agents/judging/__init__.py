"""Searchers judged over many tables: statistics of regrets with intervals, and a report of them."""
