"""`murmura epsilon`: the calculator: what given steps cost."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from murmura.machine import json_line
from shared.domains import fraction, positive
from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from shared.dp.accounting import Epsilon


class AdjacencyName(StrEnum):
    """How adjacency is spelled on the command line."""

    ADD_OR_REMOVE_ONE = "add-or-remove-one"
    REPLACE_ONE = "replace-one"
    ZERO_OUT = "zero-out"

    @property
    def relation(self) -> str:
        """As the accountant spells it."""
        return self.value.replace("-", "_")


def epsilon(
    *,
    noise_multiplier: Annotated[
        float, typer.Option(help="Standard deviation of the noise / clipping norm.")
    ],
    sample_rate: Annotated[
        float, typer.Option(help="Probability that a unit takes part in a step (Poisson).")
    ] = 1.0,
    steps: Annotated[int, typer.Option(help="Number of steps in all.")] = 1,
    delta: Annotated[float, typer.Option(help="The delta of the claim.")],
    adjacency: Annotated[
        AdjacencyName, typer.Option(help="Which data sets must be hard to tell apart.")
    ] = AdjacencyName.ADD_OR_REMOVE_ONE,
    machine: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """What [bold]steps[/bold] of the sampled Gaussian mechanism cost.

    The same accountant as in a run's report: privacy loss distributions, checked against Rényi
    DP, rounded up. Sampling must be Poisson: each unit drawn independently in each step. For
    shuffled batches give --sample-rate 1 and the number of epochs as --steps.

    Example: [green]murmura epsilon --noise-multiplier 1.0 --sample-rate 0.01 --steps 1000
    --delta 1e-5[/green]
    """
    # Slow to import, and needed by no help.
    from dp_accounting import dp_event as dp  # noqa: PLC0415

    from shared.dp.accounting import epsilon_of  # noqa: PLC0415

    _check("--noise-multiplier", noise_multiplier, positive())
    _check("--sample-rate", sample_rate, fraction())
    _check("--steps", steps, positive())
    relation = adjacency.relation
    bare = dp.GaussianDpEvent(noise_multiplier)
    step = bare if sample_rate == 1.0 else dp.PoissonSampledDpEvent(sample_rate, bare)
    claim = epsilon_of(dp.SelfComposedDpEvent(step, steps), delta, relation)
    unamplified = epsilon_of(dp.SelfComposedDpEvent(bare, steps), delta, relation)
    if machine:
        typer.echo(
            json_line(
                {
                    "epsilon": claim.epsilon,
                    "delta": delta,
                    "adjacency": relation,
                    "method": claim.method,
                    "pld": claim.pld,
                    "rdp": claim.rdp,
                    "agree": claim.agree,
                    "interval": claim.interval,
                    "no_amplification_epsilon": unamplified.epsilon,
                    "noise_multiplier": noise_multiplier,
                    "sample_rate": sample_rate,
                    "steps": steps,
                }
            )
        )
        return
    Console(highlight=False).print(_table(claim, unamplified, relation))


def _table(claim: "Epsilon", unamplified: "Epsilon", relation: str) -> Table:
    table = Table(show_header=False, box=None)
    table.add_row("epsilon", f"[bold]{claim.epsilon}[/bold]  (rounded up)")
    table.add_row("delta", repr(claim.delta))
    table.add_row("adjacency", relation.replace("_", " "))
    table.add_row("method", claim.method.replace("_", " "))
    agree = "agree" if claim.agree else "[red]PLD is above another bound: numerical trouble[/red]"
    rdp = "does not know this event" if claim.rdp is None else f"{claim.rdp:.4f}"
    table.add_row("cross-check", f"PLD {claim.pld:.4f}, RDP {rdp}: {agree}")
    table.add_row("without sampling", f"epsilon {unamplified.epsilon}")
    return table


def _check(option: str, value: float, domain: dict) -> None:  # type: ignore[type-arg]
    text, holds = domain["domain"]
    if not holds(value):
        raise ConfigurationError(f"{option} must be {text}, got {value!r}")
