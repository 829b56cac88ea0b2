"""Tests mirror the packages. Imported before torch, which reads the environment when it is loaded."""

import os

# Idle threads of OpenMP sleep: they would take the cores from the tests and services that run at the same time.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
