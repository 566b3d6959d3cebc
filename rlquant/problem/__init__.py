"""The problem that is searched: its protocol, the live network behind it, what it measures."""
