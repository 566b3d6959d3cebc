"""Zhu et al. 2016, "Trained Ternary Quantization": claims T1 to T5."""
