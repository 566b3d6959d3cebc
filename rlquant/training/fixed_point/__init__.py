"""Training in fixed-point arithmetic (Gupta et al. 2015)."""
