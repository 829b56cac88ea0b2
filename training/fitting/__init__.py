"""What is fitted after training: the head, thresholds, and new thresholds for other people's pictures."""
