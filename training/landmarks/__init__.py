"""The network that finds landmarks in a face: its training pictures, how it learns, and its ONNX file."""
