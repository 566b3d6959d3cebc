"""The fault campaign: damage, kills, odd arguments and odd places, tried until the time is up."""
