"""The ONNX file: quantized weights as packed integers in a graph that any runtime reads."""
