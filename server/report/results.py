"""summary.json and model.safetensors: what a run leaves behind besides its report."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from server.at_rest import AtRest, whole
from server.report.build import Outcome
from server.report.verify import report_digest
from server.run_folder import SUMMARY, RunFolder
from server.tensor_file import parts
from shared.local_layers import named_shared, split
from shared.parameters import FlatVector, fill

__all__ = ["MODEL", "REPORT", "SUMMARY", "build_summary", "model_bytes", "write_results"]
MODEL = "model.safetensors"
REPORT = "report.json"


def model_bytes(
    model: nn.Module, parameters: FlatVector | AtRest, outcome: Outcome
) -> Iterator[bytes | memoryview]:
    """The model's tensors by name, with the claims in the metadata: safetensors, no pickle.

    The parts of the file, one after the other. Holds nothing of the run's time or name, so a seeded
    run gives the same bytes twice.
    """
    plan, config = outcome.plan, outcome.config
    local_layers = config.training.local_layers
    fill(split(model, local_layers).shared, whole(parameters))
    tensors = named_shared(model, local_layers)
    metadata = {
        "task": config.task,
        "model": config.model,
        "rounds": str(outcome.rounds_done),
        "unit": plan.mechanism.unit,
        "adjacency": plan.mechanism.adjacency.value,
        "delta": repr(plan.delta),
        "plan_digest": plan.digest(),
        "seeded": str(config.seeded).lower(),
        "epsilon": json.dumps(
            {claim.adversary: claim.to_json()["epsilon"] for claim in outcome.claims}
        ),
    }
    if local_layers:
        # Whoever uses the model must train these for himself: the file does not hold them.
        metadata["local_layers"] = local_layers
    if outcome.normalisation is not None:
        # Whoever uses the model must normalise its inputs as the sites did.
        metadata["normalisation"] = json.dumps(asdict(outcome.normalisation))
    return parts(tensors, metadata)


def write_results(
    folder: RunFolder, outcome: Outcome, model: nn.Module, parameters: FlatVector | AtRest
) -> None:
    """Write the model file."""
    with torch.no_grad():
        folder.write_parts(MODEL, model_bytes(model, parameters, outcome))


def build_summary(
    folder: RunFolder,
    outcome: Outcome,
    report: Mapping[str, Any],
    *,
    clients_lost: int,
    seconds: float,
) -> dict[str, Any]:
    """What `murmura simulate --json` prints at its end."""
    claims = [claim.to_json() for claim in outcome.claims]
    keys = ("adversary", "unit", "adjacency", "epsilon", "delta", "no_amplification_epsilon",
            "budget_epsilon")  # fmt: skip
    return {
        "status": "finished",
        "run_folder": str(folder.path),
        "model_file": str(folder.file(MODEL)),
        "report_file": str(folder.file(REPORT)),
        "task": outcome.config.task,
        "model": outcome.config.model,
        "accuracy": outcome.final.accuracy,
        "loss": outcome.final.loss if math.isfinite(outcome.final.loss) else None,
        "metrics": {
            name: value for name, value in outcome.final.metrics.items() if math.isfinite(value)
        },
        "claims": [{key: claim[key] for key in keys} for claim in claims],
        "verdict": {key: report["verdict"][key] for key in ("level", "one_line")},
        "seconds": round(seconds, 3),
        "rounds": outcome.rounds_done,
        "clients_lost": clients_lost,
        "seeded": outcome.config.seeded,
        "report_digest": report_digest(report),
    }
