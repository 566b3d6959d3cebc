"""Quantized networks as folders of transformers in the format of compressed-tensors."""
