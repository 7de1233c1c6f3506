"""`murmura epsilon`: the calculator: what given steps cost."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from murmura.machine import json_line
from murmura.options import Machine
from shared.domains import fraction, positive
from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from dp_accounting import dp_event as dp

    from shared.dp.accounting import Epsilon


class NoiseName(StrEnum):
    """What is drawn."""

    GAUSSIAN = "gaussian"
    INTEGER = "integer"


class AdjacencyName(StrEnum):
    """How adjacency is spelled on the command line."""

    ADD_OR_REMOVE_ONE = "add-or-remove-one"
    REPLACE_ONE = "replace-one"
    ZERO_OUT = "zero-out"

    @property
    def relation(self) -> str:
        """As the accountant spells it."""
        return self.value.replace("-", "_")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Steps:
    """What is asked about."""

    noise: NoiseName
    noise_multiplier: float
    sample_rate: float
    steps: int
    delta: float
    relation: str

    def event(self, *, sampled: bool = True) -> "dp.DpEvent":
        """As a run would record it."""
        from dp_accounting import dp_event as dp  # noqa: PLC0415 - slow, and needed by no help

        from shared.dp.integer_event import IntegerNoiseDpEvent  # noqa: PLC0415

        integer = self.noise is NoiseName.INTEGER
        step = (IntegerNoiseDpEvent if integer else dp.GaussianDpEvent)(self.noise_multiplier)
        if sampled and self.sample_rate < 1.0:
            step = dp.PoissonSampledDpEvent(self.sample_rate, step)
        return dp.SelfComposedDpEvent(step, self.steps)

    def claim(self, *, sampled: bool = True) -> "Epsilon":
        """As a run's report would state it."""
        from shared.dp.accounting import epsilon_of  # noqa: PLC0415

        return epsilon_of(self.event(sampled=sampled), self.delta, self.relation)

    def continuous(self) -> "Epsilon | None":
        """What stands beside integer noise: the same with Gaussian noise, which bounds nothing."""
        if self.noise is NoiseName.GAUSSIAN:
            return None
        return replace(self, noise=NoiseName.GAUSSIAN).claim()


def epsilon(  # noqa: PLR0913 - one parameter for each option
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
    noise: Annotated[
        NoiseName, typer.Option(help="gaussian, or integer: of privacy.noise=distributed.")
    ] = NoiseName.GAUSSIAN,
    machine: Machine = False,
) -> None:
    """What [bold]steps[/bold] of the sampled Gaussian mechanism, or of integer noise, cost.

    The same accountant as in a run's report: privacy loss distributions, checked against Rényi
    DP, rounded up. Sampling must be Poisson: each unit drawn independently in each step. For
    shuffled batches give --sample-rate 1 and the number of epochs as --steps.

    Integer noise is that of privacy.noise=distributed, and so is its multiplier. It is bounded by
    Rényi DP at whole orders alone: no distribution of privacy losses is known for it. What
    continuous noise would cost stands beside it as a floor.

    Example: [green]murmura epsilon --noise-multiplier 1.0 --sample-rate 0.01 --steps 1000
    --delta 1e-5[/green]
    """
    _check("--noise-multiplier", noise_multiplier, positive())
    _check("--sample-rate", sample_rate, fraction())
    _check("--steps", steps, positive())
    if noise is NoiseName.INTEGER and adjacency is AdjacencyName.REPLACE_ONE:
        raise ConfigurationError(
            "expected --adjacency add-or-remove-one or zero-out with --noise integer, got "
            "replace-one, under which nothing is known of it"
        )
    asked = _Steps(
        noise=noise,
        noise_multiplier=noise_multiplier,
        sample_rate=sample_rate,
        steps=steps,
        delta=delta,
        relation=adjacency.relation,
    )
    if machine:
        typer.echo(json_line(_content(asked)))
        return
    Console(highlight=False).print(_table(asked))


def _content(asked: _Steps) -> dict[str, Any]:
    claim, beside = asked.claim(), asked.continuous()
    return {
        "epsilon": claim.epsilon,
        "delta": asked.delta,
        "adjacency": asked.relation,
        "noise": asked.noise.value,
        "method": claim.method,
        # That of continuous noise would be taken for a bound.
        "pld": claim.pld if beside is None else None,
        "rdp": claim.rdp,
        "agree": claim.agree,
        "interval": claim.interval,
        "no_amplification_epsilon": asked.claim(sampled=False).epsilon,
        "continuous_epsilon": None if beside is None else beside.epsilon,
        "noise_multiplier": asked.noise_multiplier,
        "sample_rate": asked.sample_rate,
        "steps": asked.steps,
    }


def _table(asked: _Steps) -> Table:
    claim, beside = asked.claim(), asked.continuous()
    table = Table(show_header=False, box=None)
    table.add_row("epsilon", f"[bold]{claim.epsilon}[/bold]  (rounded up)")
    table.add_row("delta", repr(claim.delta))
    table.add_row("adjacency", asked.relation.replace("_", " "))
    if beside is None:
        table.add_row("method", claim.method.replace("_", " "))
        table.add_row("cross-check", _cross_check(claim))
    else:
        table.add_row("noise", asked.noise.value)
        table.add_row("method", "rdp at whole orders; no privacy loss distribution is claimed")
        trouble = "" if claim.agree else " [red]RDP is below it: numerical trouble[/red]"
        floor = f"epsilon {beside.epsilon}, a floor, no bound of integer noise{trouble}"
        table.add_row("continuous noise", floor)
    table.add_row("without sampling", f"epsilon {asked.claim(sampled=False).epsilon}")
    return table


def _cross_check(claim: "Epsilon") -> str:
    agree = "agree" if claim.agree else "[red]PLD is above another bound: numerical trouble[/red]"
    rdp = "does not know this event" if claim.rdp is None else f"{claim.rdp:.4f}"
    return f"PLD {claim.pld:.4f}, RDP {rdp}: {agree}"


def _check(option: str, value: float, domain: dict) -> None:  # type: ignore[type-arg]
    text, holds = domain["domain"]
    if not holds(value):
        raise ConfigurationError(f"{option} must be {text}, got {value!r}")
