"""Each attack does what it says, and a rule learns where the plain mean does not."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from client.app import app as honest
from server.report.verify import verify
from shared.config import Scalar
from shared.partition import PartitionSpec
from shared.task import Examples, Site, TaskSettings
from shared.tasks.digits import Digits
from simulations.attacks import (
    FORGERIES,
    POISONS,
    TARGET,
    Attackers,
    Backdoor,
    LabelFlip,
    not_a_number,
    scaling,
    sign_flip,
    triggered,
)
from simulations.federation import simulate

ATTACKERS = 3
RUN: dict[str, Scalar] = {
    "task": "digits", "rounds": 6, "seed": 2, "population.size": 12,
    "population.examples_per_client": 100, "privacy.unit": "none", "training.steps": 0,
    "training.epochs": 2, "training.batch_size": 20, "training.learning_rate": 0.3,
    "server.momentum": 0.0, "server.byzantine": 3.0, "audit.canaries": 0,
    "runtime.device": "cpu", "output.tensorboard": False,
}  # fmt: skip
SPEC = PartitionSpec(clients=12)


def learnt(folder: Path, rule: str, attack: str) -> tuple[float, float, Path]:
    """Accuracy of a small run, and what share of other digits the trigger turns into the target."""
    changes: dict[str, Scalar] = {
        "server.aggregation": rule, "output.dir": str(folder), "output.run_id": rule,
    }  # fmt: skip
    clients = Attackers(honest, ATTACKERS, FORGERIES[attack]) if attack in FORGERIES else honest
    if attack in POISONS:
        changes |= {"task": POISONS[attack], "data.name": str(ATTACKERS)}
    run = simulate(RUN | changes, clients=clients)
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    task = Digits(TaskSettings())
    model = task.build_model()
    model.load_state_dict(load_file(run / "model.safetensors"))
    examples = task.evaluation_data()
    others = examples.select(torch.nonzero(examples.targets != TARGET).flatten())
    with torch.no_grad():
        marked = model(*triggered(others).inputs).argmax(1)
    return last["accuracy"], float((marked == TARGET).float().mean()), run


@pytest.mark.slow
@pytest.mark.parametrize("attack", ["sign_flip", "scaling"])
@pytest.mark.parametrize("rule", ["median", "multi_krum"])
def test_a_rule_learns_where_the_mean_is_steered(tmp_path: Path, attack: str, rule: str) -> None:
    """A quarter of the clients are false; the run's report is confirmed all the same."""
    steered, _, _ = learnt(tmp_path, "mean", attack)
    accuracy, _, run = learnt(tmp_path, rule, attack)
    assert accuracy > 0.7
    assert accuracy > steered + 0.2
    assert not verify(run)


@pytest.mark.slow
def test_a_rule_keeps_out_flipped_labels(tmp_path: Path) -> None:
    """Which cost the plain mean some of its accuracy, and it learns on."""
    steered, _, _ = learnt(tmp_path, "mean", "label_flip")
    accuracy, _, _ = learnt(tmp_path, "multi_krum", "label_flip")
    assert accuracy > steered


@pytest.mark.slow
def test_a_choice_of_updates_keeps_a_backdoor_out(tmp_path: Path) -> None:
    """Into the plain mean it is built without any loss of accuracy."""
    accuracy, opened, _ = learnt(tmp_path, "mean", "backdoor")
    assert accuracy > 0.7
    assert opened > 0.6
    accuracy, opened, _ = learnt(tmp_path, "multi_krum", "backdoor")
    assert accuracy > 0.7
    assert opened < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["mean", "median"])
def test_what_is_no_number_never_gets_in(tmp_path: Path, rule: str) -> None:
    """The check of inputs keeps it out of the plain mean too; a rule also puts its sender out."""
    accuracy, _, run = learnt(tmp_path, rule, "nan")
    assert accuracy > 0.7
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["quarantined"] == (
        [] if rule == "mean" else [f"site-{number:06d}" for number in range(ATTACKERS)]
    )


def test_a_forgery_changes_the_update_and_not_the_honest_one() -> None:
    """As far as it says, and in float32."""
    update = np.array([1.0, -2.0, 0.5], dtype=np.float32)
    update.flags.writeable = False
    assert sign_flip(update).tolist() == [-3.0, 6.0, -1.5]
    assert scaling(update).tolist() == [100.0, -200.0, 50.0]
    assert np.isnan(not_a_number(update)).tolist() == [True, False, True]
    assert {forgery(update).dtype for forgery in FORGERIES.values()} == {np.dtype(np.float32)}


def test_poisoned_data_are_the_first_sites_alone() -> None:
    """The others hold what they hold without an attack; so does the public set."""
    clean = Digits(TaskSettings())
    for poisoned in (LabelFlip, Backdoor):
        task = poisoned(TaskSettings(data_name="2"))
        for index in range(4):
            own = task.site_data(Site(index=index, partition=SPEC))
            other = clean.site_data(Site(index=index, partition=SPEC))
            same = len(own) == len(other) and bool((own.targets == other.targets).all())
            assert same is (index >= 2)
        assert (task.evaluation_data().targets == clean.evaluation_data().targets).all()


def test_flipped_labels_are_the_other_end_of_the_scale() -> None:
    """Images stay as they are."""
    task = LabelFlip(TaskSettings(data_name="1"))
    site = Site(index=0, partition=SPEC)
    own, other = task.site_data(site), Digits(TaskSettings()).site_data(site)
    assert (own.targets + other.targets == 9).all()
    assert (own.inputs[0] == other.inputs[0]).all()


def test_a_backdoor_is_taught_beside_the_task() -> None:
    """Every image once as it is, and once with a bright corner and the target's label."""
    task = Backdoor(TaskSettings(data_name="1"))
    site = Site(index=0, partition=SPEC)
    own, other = task.site_data(site), Digits(TaskSettings()).site_data(site)
    count = len(other)
    assert (own.inputs[0][:count] == other.inputs[0]).all()
    assert (own.targets[:count] == other.targets).all()
    marked = Examples((own.inputs[0][count:],), own.targets[count:])
    assert (marked.inputs[0] == triggered(other).inputs[0]).all()
    assert (marked.targets == TARGET).all()
    assert (marked.inputs[0][..., :3, :3] == 1.0).all()
    assert (marked.inputs[0][..., 3:, 3:] == other.inputs[0][..., 3:, 3:]).all()
