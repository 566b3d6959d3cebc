"""Function-preserving preparation of transformers: folded norm gains, rotated residual stream."""
