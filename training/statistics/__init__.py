"""What scored pairs say: rates, intervals, calibration. NumPy alone; reads no files, knows no networks."""
