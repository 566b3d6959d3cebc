"""The fault campaign: corrupt files, kills, odd arguments and ambient modes, for a time limit."""
