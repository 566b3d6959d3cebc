"""Exports: the packed file .rlq, ONNX, and plain dequantized networks."""
