"""What many clients hold, read at once, is what each one's task would give it."""

from collections.abc import Iterable, Mapping

import numpy as np
import pytest
import torch

from client.in_process import InProcess
from client.site import ThisSite, demonstration_name
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.messages import TrainInstruction
from shared.normalisation import Normalisation
from shared.task import Examples, Site
from shared.tasks.digits import Digits
from simulations.reading import Client, Cohort, Reader, Rows, chosen, joined

HERE = "tests.simulations.test_reading"
RAW: dict[str, Scalar] = {
    "population.size": 12, "population.examples_per_client": 0, "population.partition": "dirichlet",
    "population.alpha": 0.3, "cohort.sample_rate": 0.5, "runtime.device": "cpu",
}  # fmt: skip
POOLED: dict[str, Scalar] = {"task": "digits"}
OTHERS: dict[str, dict[str, Scalar]] = {
    "a task that reads in its own way": {"task": f"{HERE}:Reversed"},
    "records held out": {"evaluation.private_every": 2, "evaluation.holdout": 0.3},
}
NORMALISATION = Normalisation((0.4,), (0.3,))


class Reversed(Digits):
    """Gives each site its records the other way round."""

    def site_data(self, site: Site) -> Examples:
        """From the last to the first."""
        found = super().site_data(site)
        return found.select(torch.arange(len(found)).flip(0))


def made(
    changes: Mapping[str, Scalar], normalisation: Normalisation | None
) -> tuple[InProcess, Reader, TrainInstruction]:
    """What reads, and for which round."""
    config = RunConfig.from_run_config({**RAW, **POOLED, **changes})
    computing, plan = InProcess(config), PrivacyPlan.from_config(config)
    told = np.zeros(0, dtype=np.float32) if normalisation is None else normalisation.vector()
    instruction = TrainInstruction(
        round_number=3, attempt=2, plan=plan.canonical(), plan_digest=plan.digest(),
        clipping_norm=1.0, parameters=np.zeros(4, dtype=np.float32), normalisation=told,
    )  # fmt: skip
    return computing, Reader(config, computing, computing.trainer()[0]), instruction


def cohort_of(
    changes: Mapping[str, Scalar], normalisation: Normalisation | None
) -> Iterable[Client]:
    """All clients together."""
    _, reader, instruction = made(changes, normalisation)
    return reader.clients(range(12), instruction)


def read(
    changes: Mapping[str, Scalar], normalisation: Normalisation | None
) -> tuple[list[Client], list[Examples]]:
    """All clients, and what the app of each would train on."""
    computing, reader, instruction = made(changes, normalisation)
    clients = list(reader.clients(range(12), instruction))
    spec = reader.partition
    sites = [
        ThisSite(
            client_id=demonstration_name(index),
            site=Site(index=index, partition=spec),
            data_dir=None,
        )
        for index in range(12)
    ]
    for client, site in zip(clients, sites, strict=True):
        turn, own = client.turn, computing.turn(site, instruction)
        place = (own.client_id, own.round_number, own.attempt)
        assert (turn.client_id, turn.round_number, turn.attempt) == place
        assert turn.randomness.policy == own.randomness.policy
    return clients, [computing.training_examples(site, instruction) for site in sites]


def same(found: Examples, expected: Examples) -> bool:
    """Bit for bit, and of the same types."""
    pairs = zip((*found.inputs, found.targets), (*expected.inputs, expected.targets), strict=True)
    return all(a.dtype == b.dtype and torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("normalisation", [None, NORMALISATION], ids=["as it is", "normalised"])
@pytest.mark.parametrize("changes", [{}, *OTHERS.values()], ids=["pooled", *OTHERS])
def test_each_client_holds_what_its_app_would_read(
    changes: Mapping[str, Scalar], normalisation: Normalisation | None
) -> None:
    """Bit for bit, one by one and all together; some hold nothing."""
    clients, expected = read(changes, normalisation)
    assert all(isinstance(client.held, Rows) == (not changes) for client in clients)
    assert all(same(client.examples, own) for client, own in zip(clients, expected, strict=True))
    assert [len(client) for client in clients] == [len(own) for own in expected]
    together = joined([client.held for client in clients])
    assert same(together, joined(expected))
    assert torch.equal(together.targets, torch.cat([own.targets for own in expected]))


@pytest.mark.parametrize("normalisation", [None, NORMALISATION], ids=["as it is", "normalised"])
def test_a_cohort_holds_what_its_clients_hold(normalisation: Normalisation | None) -> None:
    """Counts, width, records of all; and so does a part of it."""
    _, expected = read({}, normalisation)
    cohort = cohort_of({}, normalisation)
    assert isinstance(cohort, Cohort)
    assert cohort.width == cohort[0].width == expected[0].inputs[0][0].numel()
    for part, own in ((cohort, expected), (cohort[3:9], expected[3:9])):
        assert part.counts == [len(client) for client in part] == [len(each) for each in own]
        assert same(part.held().read(), joined(own))
        names = [client.turn.client_id for client in part]
        assert names == sorted(names)
    assert cohort[3:9][0].turn == cohort[3].turn


def test_parts_of_what_is_held_are_those_of_what_is_read() -> None:
    """In the order that is asked for; of a pool's rows, of records that are read, and of both."""
    clients, expected = read({}, NORMALISATION)
    place = max(range(12), key=lambda index: len(expected[index]))
    rows = np.array([2, 0, 1])
    wanted = expected[place].select(torch.from_numpy(rows))
    for held in (clients[place].held, expected[place]):
        found = chosen(held, rows)
        assert same(joined([found]), wanted)
        assert same(joined([found, wanted, found]), joined([wanted, wanted, wanted]))


def test_rows_of_another_pool_are_not_taken_for_the_first_ones() -> None:
    """Two pools that differ in one number."""
    clients, expected = read({}, None)
    place = max(range(12), key=lambda index: len(expected[index]))
    first = clients[place].held
    assert isinstance(first, Rows)
    pool = Examples(tuple(tensor + 1 for tensor in first.pool.inputs), first.pool.targets)
    found = joined([first, Rows(pool, first.places)])
    count = len(first)
    assert torch.equal(found.inputs[0][:count] + 1, found.inputs[0][count:])
