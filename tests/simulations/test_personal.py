"""Local layers never leave a client, whatever carries the messages, and serve it better."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from client.memory import LOCAL, Memory
from client.site import ThisSite, demonstration_name
from server.report.verify import verify
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.errors import ConfigurationError, TooFewSurvivors
from shared.local_layers import split
from shared.messages import TrainReply
from shared.parameters import fill
from shared.task import Site, TaskSettings
from shared.vectors import FlatVector
from simulations.faults import Fault, ScriptedFaults
from simulations.federation import simulate
from tests.client.guarded_grid import GuardedSite, federated, made_sites, opened
from tests.simulations.personal import RUN, SITES, Permuted

HEAD: dict[str, Scalar] = {"training.local_layers": "2"}
CLIENT: dict[str, Scalar] = {"privacy.unit": "client", "privacy.clipping_norm": 1.0}
NONE: dict[str, Scalar] = {"privacy.unit": "none"}
SCAFFOLD: dict[str, Scalar] = {"training.algorithm": "scaffold"}
MODEL = "model.safetensors"


def layers(folder: Path, config: dict[str, Scalar], index: int) -> FlatVector:
    """The local layers that a client keeps in `folder`."""
    site = Site(index=index, partition=None)
    whose = ThisSite(client_id=demonstration_name(index), site=site, data_dir=None, memory=folder)
    plan = PrivacyPlan.from_config(RunConfig.from_run_config(config))
    return Memory.of(whose, plan, "run").latest()[LOCAL]


def accuracy(run: Path, config: dict[str, Scalar]) -> float:
    """Of each client's own model on fresh records of its own, on average."""
    task, found = Permuted(TaskSettings(model="", data_dir=None)), []
    for index in range(SITES):
        model = task.build_model()
        for name, tensor in load_file(run / MODEL).items():
            dict(model.named_parameters())[name].data.copy_(tensor)
        if "training.local_layers" in config:
            fill(split(model, "2").local, layers(run / "clients", config, index))
        data = task.named(index, 200, seed=500 + index)
        with torch.no_grad():
            found.append(task.metrics(model(*data.inputs), data.targets)["accuracy"].mean())
    return float(torch.stack(found).mean())


@pytest.mark.slow
@pytest.mark.parametrize("unit", [NONE, {}])
def test_a_head_of_its_own_serves_a_client_better(tmp_path: Path, unit: dict[str, Scalar]) -> None:
    """Without privacy, and with DP-SGD: clients that name classes differently share no head."""
    config = (
        RUN | unit | {"rounds": 10, "privacy.noise_multiplier": 0.6, "output.dir": str(tmp_path)}
    )
    common = accuracy(simulate(config | {"output.run_id": "common"}), config)
    own = accuracy(simulate(config | HEAD), config | HEAD)
    assert common < 0.6
    assert own > common + 0.25


def windows(vector: FlatVector) -> set[bytes]:
    """Each pair of neighbours in it, as bytes of either width."""
    pairs = [vector[start : start + 2] for start in range(len(vector) - 1)]
    return {pair.astype(kind).tobytes() for pair in pairs for kind in ("<f4", "<f8")}


def left(site: GuardedSite) -> bytes:
    """Everything that a site ever sent."""
    letters = [letter for sent in site.server.sent.values() for letter in sent]
    return b"".join(
        part for letter in letters for part in (letter.message, *letter.objects.values())
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", [{}, CLIENT, CLIENT | SCAFFOLD])
def test_no_byte_of_a_local_layer_leaves_a_site(tmp_path: Path, kind: dict[str, Scalar]) -> None:
    """Nor is any in the run's folder; over guards the model is that of the simulation."""
    asked: dict[str, Scalar] = {"evaluation.private_every": 0 if kind is not CLIENT else 2}
    config = RUN | HEAD | kind | asked
    simulated = simulate(config | {"output.dir": str(tmp_path / "simulated")})
    guarded = config | {"output.dir": str(tmp_path / "guarded")}
    sites = made_sites(tmp_path, guarded, unit=str(config.get("privacy.unit", "record")))
    run = federated(sites, guarded)
    assert (run / MODEL).read_bytes() == (simulated / MODEL).read_bytes()
    folder = b"".join(path.read_bytes() for path in run.iterdir() if path.is_file())
    for index, site in enumerate(sites):
        (kept,) = site.home.memory.iterdir()
        (same,) = (p for p in (simulated / "clients").iterdir() if p.name == kept.name)
        assert kept.read_bytes() == same.read_bytes()
        own, sent = layers(site.home.memory, guarded, index), left(site)
        assert not [pair for pair in windows(own) if pair in sent or pair in folder]
        # What is looked for is found where it is.
        letters = [letter for found in site.server.sent.values() for letter in found]
        replies = [opened(letter) for letter in letters if letter.holds_content]
        shared = [m.content for m in replies if m.metadata.message_type == "train"]
        update = TrainReply.from_record(shared[-1]).update
        assert all(pair in sent for pair in list(windows(update))[:3] if len(pair) == 8)
        assert all(pair in kept.read_bytes() for pair in windows(own) if len(pair) == 8)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [{}, CLIENT, CLIENT | SCAFFOLD])
@pytest.mark.parametrize("broken", [1, 3])
def test_a_run_that_goes_on_is_the_run_without_a_break(
    tmp_path: Path, kind: dict[str, Scalar], broken: int
) -> None:
    """Also where some clients had trained already when the round broke off."""
    config = RUN | HEAD | kind | {"cohort.minimum_survivors": 0.9}
    whole = simulate(config | {"output.dir": str(tmp_path / "whole")})
    parts = config | {"output.dir": str(tmp_path / "parts")}
    absent = ScriptedFaults({(i, str(broken)): Fault.UNAVAILABLE for i in range(2)})
    with pytest.raises(TooFewSurvivors):
        simulate(parts, faults=absent)
    resumed = simulate(parts | {"output.resume": True})
    assert (resumed / MODEL).read_bytes() == (whole / MODEL).read_bytes()
    kept = [{p.name: p.read_bytes() for p in (r / "clients").iterdir()} for r in (whole, resumed)]
    assert kept[0] == kept[1]


def test_the_saved_model_and_the_report_say_what_stays(tmp_path: Path) -> None:
    """The server measures nothing: it knows no client's model; the clients do, privately."""
    config = RUN | HEAD | CLIENT | {"output.dir": str(tmp_path), "evaluation.private_every": 4}
    run = simulate(config)
    assert sorted(load_file(run / MODEL)) == ["0.bias", "0.weight"]
    assert b'"local_layers":"2"' in (run / MODEL).read_bytes()
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["accuracy"], summary["loss"], summary["metrics"]) == (None, None, {})
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["accuracy"] for line in lines] == [None] * 4
    assert isinstance(lines[-1]["private_accuracy"], float)
    report = json.loads((run / "report.json").read_text())
    assert "the local layers of a client" in report["claims"][0]["not_covered"][-1]
    verify(run)


@pytest.mark.slow
def test_private_scores_are_those_of_the_clients_own_models(tmp_path: Path) -> None:
    """With next to no noise on them: far above what any common model reaches."""
    asked: dict[str, Scalar] = {
        "rounds": 10, "evaluation.private_every": 10, "evaluation.noise_multiplier": 0.5,
        "evaluation.holdout": 0.0, "privacy.noise_multiplier": 0.6, "output.dir": str(tmp_path),
    }  # fmt: skip
    run = simulate(RUN | HEAD | asked)
    line = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["private_accuracy"] > 0.75
    common = simulate(RUN | asked | {"output.run_id": "common"})
    line = json.loads((common / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["private_accuracy"] < 0.65


def test_a_layer_that_is_not_there_is_refused_before_the_run(tmp_path: Path) -> None:
    """No run folder is left."""
    with pytest.raises(ConfigurationError, match="trainable layers"):
        simulate(RUN | {"training.local_layers": "head", "output.dir": str(tmp_path)})
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_local_layers_of_a_private_run_carry_its_noise(tmp_path: Path) -> None:
    """At record level they are part of what each step noises: zero records still move them."""
    config = RUN | HEAD | {"output.dir": str(tmp_path), "training.sample_rate": 1e-9}
    run = simulate(config)
    found = np.stack([layers(run / "clients", config, index) for index in range(SITES)])
    assert len(np.unique(found, axis=0)) == SITES
