"""What a run promises about secure aggregation: part of its privacy plan, public, fixed before."""

from dataclasses import asdict, dataclass, field

from shared.domains import check_domains, names_or_none, non_negative, one_of, positive, within
from shared.dp.concentrated import FAMILIES
from shared.secagg.parameters import SMALLEST
from shared.secagg.ring import BITS


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregationPlan:
    """How updates become whole numbers of a ring, and whom the protocol withstands.

    Attributes:
        corrupt_fraction: γ, share of the roster that may work with the server.
        dropped_fraction: δ, share of a cohort that may be lost.
        bits: b of the ring that updates are summed in; 0: the smallest that costs little.
        signal_bound: Largest L2 norm of one client's update without its own noise; what is longer
            is cut to it.
        coordinate_noise: Standard deviation of one client's own noise in each number of its
            update; 0 where it adds none of its own.
        unit_bound: Largest L2 norm by which one unit moves an update; 0 where no noise is shared.
        family: Of the shared noise.
        helpers: Names of those who undo the masks instead of a committee, a,b,c; or empty.
    """

    corrupt_fraction: float = field(metadata=within(0.0, 0.5, open_right=True))
    dropped_fraction: float = field(metadata=within(0.0, 0.5, open_right=True))
    bits: int = field(metadata=one_of(0, *BITS))
    signal_bound: float = field(metadata=positive())
    coordinate_noise: float = field(metadata=non_negative())
    unit_bound: float = field(metadata=non_negative())
    family: str = field(metadata=one_of(*FAMILIES))
    helpers: str = field(default="", metadata=names_or_none(SMALLEST))

    def __post_init__(self) -> None:
        """Refuse what is outside its domain."""
        check_domains(type(self), asdict(self), "aggregation.")

    @property
    def helper_names(self) -> tuple[str, ...]:
        """Ascending; none where there is a committee."""
        return tuple(self.helpers.split(",")) if self.helpers else ()
