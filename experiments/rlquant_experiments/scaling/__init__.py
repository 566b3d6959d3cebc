"""How searches scale to many workers: simulated to hundreds, measured on two, quality by batch."""
