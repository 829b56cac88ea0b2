"""Statistics of scored pairs: rates, intervals, calibration. Needs only NumPy; reads no files, knows no networks."""
