"""The HTTP service: two photographs in, one decision out."""

import os

# Else Prometheus' client would write files into a folder that is another program's.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
