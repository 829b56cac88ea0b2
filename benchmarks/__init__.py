"""What is measured: recorded with the machine's description, never asserted on a clock."""
