"""Secure aggregation as a configuration describes it, a second time; see `recomputation`."""

import math
from collections.abc import Mapping
from typing import Any


def is_distributed(config: Mapping[str, Any]) -> bool:
    """Whether each client adds a share of the noise of the sum."""
    return bool(config["privacy.noise"] == "distributed")


def is_secure(config: Mapping[str, Any]) -> bool:
    """Whether the server sees sums alone."""
    return is_distributed(config) or config["secure_aggregation"] == "on"


def aggregation(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """The plan's `aggregation`."""
    if not is_secure(config):
        return None
    signal, own = _bounds(config)
    return {
        "corrupt_fraction": config["aggregation.corrupt_fraction"],
        "dropped_fraction": config["aggregation.dropped_fraction"],
        "bits": config["aggregation.bits"],
        "signal_bound": config["aggregation.update_bound"] or signal,
        "coordinate_noise": own,
        "unit_bound": _unit(config) if is_distributed(config) else 0.0,
        "family": config["aggregation.noise_family"],
        "helpers": config["aggregation.helpers"],
    }


def _unit(config: Mapping[str, Any]) -> float:
    """How far one unit moves the update of its client."""
    clip = float(config["privacy.clipping_norm"])
    if config["privacy.unit"] == "client":
        return clip
    return clip * float(config["training.learning_rate"]) / float(config["training.batch_size"])


def _bounds(config: Mapping[str, Any]) -> tuple[float, float]:
    """(norm of an update without its noise, deviation of its own noise in each number)."""
    clip, unit = float(config["privacy.clipping_norm"]), config["privacy.unit"]
    if unit != "record":
        return (clip if unit == "client" else 100.0), 0.0
    steps = int(config["training.steps"])
    reach = config["training.learning_rate"] / (1.0 - config["training.momentum"])
    if config["training.optimizer"] == "adam":
        return 1.0, 2.0 * reach * steps
    signal = reach * steps * clip
    if is_distributed(config):
        return signal, 0.0
    noise = config["privacy.noise_multiplier"] * clip / config["training.batch_size"]
    return 2.0 * signal, reach * math.sqrt(steps) * noise
