"""Measured configurations of small networks of many layers, which policies over layers learn on."""
