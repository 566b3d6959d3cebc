"""The packed file format .rlq: layout, bit packing, entropy coding, reader and writer."""
