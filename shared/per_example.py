"""One backward pass through Opacus' hooks: a gradient for each example in `grad_sample`."""

import warnings
from threading import Lock

from torch import Tensor

_ONE_AT_A_TIME = Lock()  # the list of filters is the process's, not a thread's


def backward(losses: Tensor) -> None:
    """Fill `grad_sample` of every trainable parameter of a GradSampleModule.

    Args:
        losses: One loss per example, shape (n,); summed, so that no example's gradient is scaled
            by how many others there are.
    """
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        # The only warning silenced in Murmura. Opacus' hooks fire for layers whose inputs need no
        # gradient, as they should; asking for those gradients would cost a third of the step.
        warnings.filterwarnings("ignore", message="Full backward hook is firing")
        losses.sum().backward()
