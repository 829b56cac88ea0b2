"""Types of arrays that several modules share."""

import numpy as np
from numpy.typing import NDArray

# Of pictures: (H, W) or (H, W, 3), or a batch of them.
Pixels = NDArray[np.uint8]
# (N, 2): x and y.
Points = NDArray[np.float64]
# (B, D), or (D,) of one.
Embeddings = NDArray[np.float32]
