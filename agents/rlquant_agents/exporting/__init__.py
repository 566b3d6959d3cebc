"""Exports of a search: the file for its target, run there, and latency reports."""
