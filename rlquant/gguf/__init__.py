"""GGUF files: types of weights, header and metadata, and the names of a network's tensors."""
