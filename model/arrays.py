"""Array types that several modules share."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# Crops: (H, W) or (H, W, 3), or a batch of them.
Pixels = NDArray[np.uint8]
# (N, 2): x and y.
Points = NDArray[np.float64]
# (B, D), or (D,) for one.
Embeddings = NDArray[np.float32]
# (B,)
Similarities = NDArray[np.float64]
Array: TypeAlias = NDArray[Any]
# (F,): what `imaging.crop_features` says of a crop.
Features = NDArray[np.float32]
# A network's tensors by name.
Tensors = Mapping[str, Array]
