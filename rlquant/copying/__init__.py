"""Copies of networks that share nothing with their originals, functions in them included."""
