"""Pretrained networks, quantized uniformly and by searches, measured on test data once."""
