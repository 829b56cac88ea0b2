"""Networks from elsewhere: ONNX graphs, checked before they run, run by ONNX Runtime."""
