"""Training quantized networks: one loop for every mix of methods, and fixed-point arithmetic."""
