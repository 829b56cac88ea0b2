"""Networks on a CPU, run by OpenVINO, without PyTorch."""
