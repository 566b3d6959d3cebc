"""Executors (`concurrent.futures`): where evaluations run, in processes or on other machines."""
