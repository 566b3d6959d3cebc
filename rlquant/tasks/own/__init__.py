"""Tasks of one's own networks: a folder of transformers, a network of timm, a function's result."""
