"""Networks from elsewhere: ONNX graphs, checked before they run, and run by OpenVINO or ONNX Runtime."""
