"""What reads a site's records, behind one face: in this process, or in a worker of a site's guard.

It is asked after the ledger is charged, and whatever it returns stays at the site: `client.session`
bounds it, adds the noise that is not in it yet, and masks it.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from client.site import ThisSite
from shared.dp.clipping import Vector
from shared.messages import TrainInstruction
from shared.query_messages import QueryInstruction
from shared.vectors import FlatVector


class Computing(Protocol):
    """Computes on the records of a site, for one run."""

    def update(
        self, site: ThisSite, instruction: TrainInstruction, kept: FlatVector
    ) -> FlatVector | Vector:
        """local - received after one turn of training, not clipped, shape (d,), float32.

        Behind it the local layers, which are to stay at the site; `kept` is what it keeps of the
        run (`client.beginning`), of length 0 for nothing.

        Record level: after noisy steps; with distributed noise, float64, one step without noise.

        Raises:
            FederationError: as the task raises it, or it cannot be computed.
        """

    def rows(
        self, site: ThisSite, instruction: QueryInstruction, layers: FlatVector
    ) -> NDArray[np.float64]:
        """A row for each record, not bounded, shape (n, width); of the model with these layers.

        Raises:
            FederationError: likewise.
        """
