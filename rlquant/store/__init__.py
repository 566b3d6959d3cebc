"""Evaluation stores: every measurement, in an SQLite file or a PostgreSQL database, for many."""
