"""Polino et al. 2018, "Model compression via distillation and quantization": claims P1 to P10."""
