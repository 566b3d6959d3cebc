"""Gupta et al. 2015, "Deep Learning with Limited Numerical Precision": claims G1 to G6."""
