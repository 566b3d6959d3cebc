"""Landscapes that are known completely: tables of every configuration, and problems over them."""
