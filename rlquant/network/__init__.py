"""From a float network and a configuration to a quantized, calibrated network."""
