"""The HTTP service: two photographs in, one decision out."""

import os

# Otherwise Prometheus' client would write files into a folder that belongs to another program.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
