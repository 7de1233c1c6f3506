"""What was charged so far, on disk before anything is released; refuses what would overspend."""

from server.run_folder import RunFolder
from shared.dp.events import Charge
from shared.dp.meter import RunningMeter
from shared.dp.plan import PrivacyPlan
from shared.errors import BudgetExhausted, PrivacyError, StateError

CHARGES = "charges.jsonl"


class Budget:
    """The charges of one run.

    Args:
        plan: What each round costs, and the budget.
        folder: Holds charges.jsonl, whose lines are the truth.
        repeatable: A seeded run repeats a round bit for bit, so a repeated round is no second
            release; otherwise every attempt is one.

    Raises:
        StateError: charges.jsonl is of another plan, or cannot be read.
    """

    def __init__(self, plan: PrivacyPlan, folder: RunFolder, *, repeatable: bool) -> None:
        self._plan = plan
        self._folder = folder
        self._repeatable = repeatable
        self.charges = [Charge.from_json(line) for line in folder.read_lines(CHARGES)]
        if any(
            charge.event != plan.charge_event(charge.kind, charge.round_number, charge.attempt)
            for charge in self.charges
        ):
            # Guarantee: claims count charges of the plan; others would be under-reported.
            raise StateError(f"{folder.file(CHARGES)} holds charges of another privacy plan")
        self._meter = RunningMeter(plan)
        self._booked = {charge.key for charge in self.charges}
        self._attempts: dict[tuple[str, int], int] = {}  # the last one of each round
        for charge in self.charges:
            self._count(charge)

    def check_covers(self, rounds_done: int) -> None:
        """Raise StateError if a round that was finished was never charged."""
        charged = {charge.round_number for charge in self.charges if charge.kind == "train"}
        if missing := sorted(set(range(1, rounds_done + 1)) - charged):
            raise StateError(
                f"{self._folder.file(CHARGES)} must hold the charges of {rounds_done} rounds, got "
                f"none for round {missing[0]}"
            )

    def next_attempt(self, round_number: int, kind: str = "train") -> int:
        """Number of the attempt at `round_number` that comes now; 1 where none was charged."""
        return 1 if self._repeatable else self._attempts.get((kind, round_number), 0) + 1

    def charge(
        self, round_number: int, attempt: int, clients: tuple[str, ...], kind: str = "train"
    ) -> None:
        """Book one exchange before its instructions leave; a charge that is booked stays.

        Raises:
            BudgetExhausted: the round would spend more than the budget; nothing is booked.
            StateError: the charge cannot be written; the round must not take place.
        """
        event = self._plan.charge_event(kind, round_number, attempt)
        if event is None:
            raise PrivacyError(f"expected an exchange of the plan, got {kind!r}")
        charge = Charge(
            round_number=round_number, attempt=attempt, clients=clients, event=event, kind=kind
        )
        if charge.key in self._booked:
            return
        spent = self._meter.would_exceed(charge, self._plan.epsilon_budget)
        if spent is not None:
            raise BudgetExhausted(
                f"round {round_number} must keep epsilon at most {self._plan.epsilon_budget!r}, "
                f"got {spent!r} with attempt {attempt}"
            )
        # Guarantee: on disk before anything leaves: a crash can lose a round, never a charge.
        self._folder.append_line(CHARGES, charge.to_json(), durable=True)
        self.charges.append(charge)
        self._booked.add(charge.key)
        self._count(charge)

    def _count(self, charge: Charge) -> None:
        place = (charge.kind, charge.round_number)
        self._attempts[place] = max(charge.attempt, self._attempts.get(place, 0))
        self._meter.add(charge)

    def epsilon(self) -> float:
        """Running epsilon of the worst observer with a finite one."""
        return self._meter.epsilon()
