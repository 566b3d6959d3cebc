"""Searchers over quantization problems."""
