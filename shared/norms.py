"""L2 norms of long rows in single precision, right to the last digits."""

import torch
from torch import Tensor

_PIECE = 512  # squares that torch may add up in single precision


def row_norms(rows: Tensor) -> Tensor:
    """The L2 norm of each row, within 1e-6 of it relatively, however long the row is.

    On a processor torch adds squares up in single precision, nearly one after another: of a row of
    4 million numbers its norm is 1e-4 too small, of 16 million 7e-4, and a clip by such a norm lets
    that much more through. Here pieces are added up so, and their norms in double precision.

    Args:
        rows: Shape (n, ...), any floating type; copied only where its rows do not lie in one piece.

    Returns:
        Shape (n,), float64; infinite or NaN where the row is, or a square overflows.
    """
    flat = rows.flatten(1)
    whole = flat.shape[1] // _PIECE * _PIECE
    rest = torch.linalg.vector_norm(flat[:, whole:], dim=1, keepdim=True).double()
    if whole:
        pieces = flat[:, :whole].unflatten(1, (-1, _PIECE))
        found = torch.linalg.vector_norm(pieces, dim=2).double()
        rest = torch.cat([found, rest], dim=1)
    norms: Tensor = torch.linalg.vector_norm(rest, dim=1)
    return norms
