"""Gymnasium environments over quantization problems."""
