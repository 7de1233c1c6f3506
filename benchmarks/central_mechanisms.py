"""Client-level mechanisms at equal epsilon: correlated noise or not, adaptive clip or fixed.

    PYTHONPATH=. python benchmarks/central_mechanisms.py --epsilon 8 --rounds 64 --seeds 2

One task for all: Fashion-MNIST, small_cnn, a population of many small clients, N/b of them in a
round. `--only` takes names of `MECHANISMS`. Prints a JSON row for each run: the epsilon that is
claimed, the one that remains if who takes part becomes known, and the accuracy on public images,
at the end and as a mean over the last quarter of the rounds. `--noise` trains nothing: it prints
the standard deviation of the noise that the sum of all rounds carries, in units of the clip.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from dp_accounting import dp_event as dp
from numpy.typing import NDArray

from shared.config import RunConfig, Scalar
from shared.dp.calibration import calibrated_noise
from shared.dp.correlated import root_coefficients
from shared.dp.mechanisms import Adjacency, ClientPrivacy, CorrelatedPrivacy
from shared.dp.plan import PrivacyPlan
from simulations.federation import simulate

Changes = dict[str, Scalar]
_ROTATED: Changes = {"privacy.correlation": "banded", "privacy.bands": 1}
_FAR = 30.0  # how far from a good clip a bad one is


def mechanisms(separation: int, clip: float) -> dict[str, Changes]:
    """What is compared; `clip` is a good one, found beforehand."""
    sampled: Changes = {"cohort.sample_rate": 1.0 / separation}
    adaptive = sampled | {"privacy.clipping": "adaptive"}
    return {
        "sampled, independent": sampled,
        "rotated, independent": _ROTATED,
        "rotated, banded": {"privacy.correlation": "banded", "privacy.bands": separation},
        "rotated, tree": {"privacy.correlation": "tree"},
        "adaptive": adaptive,
        "fixed, clip too small": sampled | {"privacy.clipping_norm": clip / _FAR},
        "adaptive, clip too small": adaptive | {"privacy.clipping_norm": clip / _FAR},
        "fixed, clip too large": sampled | {"privacy.clipping_norm": clip * _FAR},
        "adaptive, clip too large": adaptive | {"privacy.clipping_norm": clip * _FAR},
    }


def configuration(options: argparse.Namespace, changes: Changes, seed: int) -> Changes:
    """A run whose noise is calibrated to `--epsilon`."""
    flat: Changes = {
        "task": "fashion_mnist",
        "model": "small_cnn",
        "rounds": options.rounds,
        "seed": seed,
        "population.size": options.population,
        "population.examples_per_client": options.examples,
        "training.steps": 0,
        "training.epochs": 1,
        "training.batch_size": 10,
        "training.learning_rate": options.learning_rate,
        "server.momentum": options.momentum,
        "server.learning_rate": options.server_learning_rate,
        "privacy.unit": "client",
        "privacy.clipping_norm": options.clip,
        "privacy.delta": options.delta,
        "privacy.epsilon_budget": options.epsilon,
        "privacy.min_separation": options.separation,
        "runtime.device": options.device,
        "runtime.evaluate_every": max(1, options.rounds // 16),
        "audit.canaries": 0,
        "output.tensorboard": False,
    }
    flat |= changes

    def released(noise_multiplier: float) -> dp.DpEvent:
        noisy = flat | {"privacy.noise_multiplier": noise_multiplier}
        plan = PrivacyPlan.from_config(RunConfig.from_run_config(noisy))
        return dp.ComposedDpEvent(
            [dp.SelfComposedDpEvent(event, times) for event, times in plan.events().values()]
        )

    noise = calibrated_noise(released, options.epsilon, options.delta, Adjacency.ZERO_OUT)
    return flat | {"privacy.noise_multiplier": noise}


def row(name: str, config: Changes, folder: Path) -> dict[str, Any]:
    """One run."""
    started = time.monotonic()
    run = simulate(config | {"output.dir": str(folder)})
    report = json.loads((run / "report.json").read_text())
    claim = report["claims"][-1]
    curve = [accuracy for _, accuracy in report["utility"]["by_round"]]
    late = curve[-max(1, len(curve) // 4) :]
    return {
        "mechanism": name,
        "seed": config["seed"],
        "epsilon": claim["epsilon"],
        "epsilon_if_cohorts_are_known": claim["no_amplification_epsilon"],
        "delta": claim["delta"],
        "noise_multiplier": config["privacy.noise_multiplier"],
        "clip": config["privacy.clipping_norm"],
        "accuracy": round(curve[-1], 4),
        "accuracy_late": round(sum(late) / len(late), 4),
        "seconds": round(time.monotonic() - started, 1),
    }


def noise(options: argparse.Namespace) -> dict[str, Any]:
    """By name, what a model after `--rounds` rounds carries; computed, nothing is drawn."""
    found = {}
    for name, changes in mechanisms(options.separation, 1.0).items():
        if "clip" in name or "adaptive" in name:
            continue
        config = configuration(options, changes | {"privacy.clipping_norm": 1.0}, 1)
        mechanism = PrivacyPlan.from_config(RunConfig.from_run_config(config)).mechanism
        if isinstance(mechanism, CorrelatedPrivacy):
            rows = factor(mechanism)
            last = np.linalg.norm(np.linalg.solve(rows.T, np.ones(len(rows))))
            found[name] = round(mechanism.independent_noise_stddev * float(last), 2)
        elif isinstance(mechanism, ClientPrivacy):
            found[name] = round(mechanism.noise_stddev(1.0) * options.rounds**0.5, 2)
    return {"rounds": options.rounds, "separation": options.separation,
            "epsilon": options.epsilon, "noise": found}  # fmt: skip


def factor(mechanism: CorrelatedPrivacy) -> NDArray[np.float64]:
    """C, square."""
    rounds = mechanism.rounds
    found = np.zeros((rounds, rounds))
    if mechanism.matrix == "banded":
        for shift, value in enumerate(root_coefficients(min(mechanism.bands, rounds))):
            found += value * np.eye(rounds, k=-shift)
        return found
    for number in range(1, rounds + 1):
        found[number - 1, number - (number & -number) : number] = 1.0
    return found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epsilon", type=float, default=8.0)
    parser.add_argument("--delta", type=float, default=1e-5)
    parser.add_argument("--rounds", type=int, default=64)
    parser.add_argument("--population", type=int, default=1000)
    parser.add_argument("--examples", type=int, default=60, help="of a client")
    parser.add_argument("--separation", type=int, default=8, help="b; a cohort is population / b")
    parser.add_argument("--clip", type=float, default=0.5)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--server-learning-rate", type=float, default=1.0)
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--noise", action="store_true", help="no training")
    parser.add_argument("--only", nargs="*", default=[])
    return parser.parse_args()


def main() -> None:
    """Run, print."""
    options = arguments()
    if options.noise:
        print(json.dumps(noise(options)))
        return
    compared = mechanisms(options.separation, options.clip)
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(1, options.seeds + 1):
            for number, name in enumerate(options.only or compared):
                config = configuration(options, compared[name], seed)
                place = Path(folder) / f"{number}-{seed}"
                print(json.dumps(row(name, config, place)), flush=True)


if __name__ == "__main__":
    main()
