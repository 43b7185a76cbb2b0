"""Trained networks without torch: ONNX graphs, the runtime that reads them, and a face detector of three such."""
