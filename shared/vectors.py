"""What a model's parameters and their changes are on the wire: numbers, without a framework."""

import numpy as np
from numpy.typing import NDArray

FlatVector = NDArray[np.float32]  # (d,)
