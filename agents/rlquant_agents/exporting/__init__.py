"""What leaves the tool, measured: latency tables, files for onnxruntime, sizes and speeds."""
