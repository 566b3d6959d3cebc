"""Measurements of files for deployment targets, beside the recipes that their runtimes have."""
