"""Benchmarks: each writes a record that describes the machine too. No test depends on measured times."""
