"""What was released, as data: dp-accounting events as JSON, and the charge of one exchange."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dp_accounting import dp_event as dp

from shared.dp.integer_event import IntegerNoiseDpEvent
from shared.errors import PrivacyError, StateError

Json = Mapping[str, Any]
KINDS = ("train", "evaluate", "statistics")
_SIMPLE: dict[str, tuple[type[dp.DpEvent], tuple[str, ...]]] = {
    "none": (dp.NoOpDpEvent, ()),
    "non_private": (dp.NonPrivateDpEvent, ()),
    "gaussian": (dp.GaussianDpEvent, ("noise_multiplier",)),
    "integer_noise": (IntegerNoiseDpEvent, ("noise_multiplier",)),
    "truncated_poisson_gaussian": (
        dp.TruncatedSubsampledGaussianDpEvent,
        ("dataset_size", "sampling_probability", "truncated_batch_size", "noise_multiplier"),
    ),
}


def event_to_json(event: dp.DpEvent) -> dict[str, Any]:
    """`event` as plain JSON; the inverse of `event_from_json`.

    Raises:
        PrivacyError: an event that Murmura does not make: unknown means not accounted.
    """
    for name, (kind, attributes) in _SIMPLE.items():
        if type(event) is kind:
            return {"kind": name} | {key: getattr(event, key) for key in attributes}
    if isinstance(event, dp.PoissonSampledDpEvent):
        return {
            "kind": "poisson_sampled",
            "sampling_probability": event.sampling_probability,
            "event": event_to_json(event.event),
        }
    if isinstance(event, dp.SelfComposedDpEvent):
        return {
            "kind": "self_composed",
            "count": event.count,
            "event": event_to_json(event.event),
        }
    if isinstance(event, dp.ComposedDpEvent):
        return {"kind": "composed", "events": [event_to_json(part) for part in event.events]}
    raise PrivacyError(f"expected an event that can be accounted, got {type(event).__name__}")


def event_from_json(content: Json) -> dp.DpEvent:
    """The event that `event_to_json` described.

    Raises:
        StateError: of another form.
    """
    try:
        kind = content["kind"]
        if kind in _SIMPLE:
            constructor, attributes = _SIMPLE[kind]
            return constructor(*(_number(content, key) for key in attributes))
        return _COMPOUND[kind](content)
    except (KeyError, TypeError) as error:
        raise StateError(f"expected an accounting event, got {content!r}") from error


def _number(content: Json, name: str) -> int | float:
    """The number `name`; that it is in its domain is for the accountant to check."""
    value: int | float = content[name]
    if type(value) not in (int, float):
        raise TypeError(f"{name} must be a number, got {value!r}")
    return value


_COMPOUND: dict[str, Callable[[Json], dp.DpEvent]] = {
    "poisson_sampled": lambda content: dp.PoissonSampledDpEvent(
        _number(content, "sampling_probability"), event_from_json(content["event"])
    ),
    "self_composed": lambda content: dp.SelfComposedDpEvent(
        event_from_json(content["event"]), _number(content, "count")
    ),
    "composed": lambda content: dp.ComposedDpEvent(
        [event_from_json(part) for part in content["events"]]
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One attempt at one exchange: who was asked, and what each unit there was exposed to.

    Written before the instructions leave the server, so that a crash cannot lose what was spent.

    Attributes:
        kind: What the data were asked for: one of KINDS.
        round_number: 1-based.
        attempt: 1-based.
        clients: Ids of all clients that were asked, whether they answered or not.
        event: What one unit of one of them was exposed to.
    """

    round_number: int
    attempt: int
    clients: tuple[str, ...]
    event: dp.DpEvent
    kind: str = "train"

    @property
    def key(self) -> tuple[str, int, int]:
        """A charge is booked once for each (kind, round, attempt)."""
        return self.kind, self.round_number, self.attempt

    def to_json(self) -> dict[str, Any]:
        """The charge as plain JSON."""
        return {
            "kind": self.kind,
            "round_number": self.round_number,
            "attempt": self.attempt,
            "clients": list(self.clients),
            "event": event_to_json(self.event),
        }

    @classmethod
    def from_json(cls, content: Json) -> "Charge":
        """Inverse of `to_json`.

        Raises:
            StateError: of another form.
        """
        try:
            clients = content["clients"]
            if not isinstance(clients, list) or not all(isinstance(c, str) for c in clients):
                raise TypeError("clients must be a list of texts")
            if content["kind"] not in KINDS:
                raise TypeError(f"kind must be one of {KINDS}")
            return cls(
                kind=content["kind"],
                round_number=int(content["round_number"]),
                attempt=int(content["attempt"]),
                clients=tuple(clients),
                event=event_from_json(content["event"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StateError("expected a charge of one round, got another object") from error
