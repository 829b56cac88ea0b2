"""After the training: the head, thresholds, recalibration."""
