"""`murmura plan`: how much noise a promise needs, and what would change if it were another."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from murmura.machine import json_line
from murmura.options import Machine
from murmura.wording import epsilon_text
from shared.domains import fraction, positive, within
from shared.errors import ConfigurationError

if TYPE_CHECKING:
    from shared.dp.outlook import Outlook

_BAR = 40


class Unit(StrEnum):
    """Whose contribution is hidden."""

    RECORD = "record"
    CLIENT = "client"


class Noise(StrEnum):
    """Who adds it."""

    WHOLE = "whole"
    DISTRIBUTED = "distributed"


def plan(  # noqa: PLR0913 - one parameter for each option
    *,
    target_epsilon: Annotated[
        float | None, typer.Option(help="Find the noise that keeps epsilon within this.")
    ] = None,
    noise_multiplier: Annotated[
        float | None, typer.Option(help="Or: what does this noise cost?")
    ] = None,
    delta: Annotated[float, typer.Option(help="The delta of the claim.")],
    unit: Annotated[Unit, typer.Option(help="Whose contribution is hidden.")] = Unit.RECORD,
    rounds: Annotated[int, typer.Option(help="Number of rounds.")],
    population: Annotated[int, typer.Option(help="Number of clients; public.")] = 20,
    cohort: Annotated[
        float | None, typer.Option(help="Expected clients a round (client level).")
    ] = None,
    sample_rate: Annotated[
        float | None, typer.Option(help="Chance of a record in a step (record level).")
    ] = None,
    steps: Annotated[int, typer.Option(help="Noisy steps a round (record level).")] = 1,
    noise: Annotated[
        Noise, typer.Option(help="whole, or distributed: each client adds a share of it.")
    ] = Noise.WHOLE,
    machine: Machine = False,
) -> None:
    """Plan a run: [bold]noise for a target[/bold], epsilon over rounds and delta, what-if table.

    The noise that is found never overshoots the target.

    [green]murmura plan --target-epsilon 4 --delta 1e-6 --population 1000 --cohort 50 --rounds 200
    --unit client[/green]
    """
    from shared.dp.outlook import Outlook  # noqa: PLC0415 - slow, and needed by no help

    outlook = Outlook(
        unit=unit.value,
        population=_in("--population", population, positive()),
        sample_rate=_rate(unit, population, cohort, sample_rate),
        rounds=_in("--rounds", rounds, positive()),
        steps=_in("--steps", steps, positive()),
        delta=_in("--delta", delta, within(0.0, 0.5, open_left=True)),
        distributed=noise is Noise.DISTRIBUTED,
    )
    if unit is Unit.CLIENT and delta >= 1.0 / population:
        raise ConfigurationError(
            f"--delta must be below 1/population = {1.0 / population:g}, got {delta:g}"
        )
    if outlook.distributed and unit is Unit.RECORD and steps != 1:
        raise ConfigurationError(
            f"--noise distributed goes with one step a round at record level, got --steps {steps}"
        )
    chosen = _noise(outlook, target_epsilon, noise_multiplier)
    if machine:
        typer.echo(json_line(_content(outlook, chosen, target_epsilon)))
        return
    _show(Console(highlight=False), outlook, chosen)


def _noise(outlook: "Outlook", target: float | None, given: float | None) -> float:
    if (target is None) == (given is None):
        raise ConfigurationError(
            "expected one of --target-epsilon and --noise-multiplier, got "
            + ("neither" if target is None else "both")
        )
    if given is not None:
        return float(_in("--noise-multiplier", given, positive()))
    return outlook.noise_for(_in("--target-epsilon", target, positive()))


def _rate(unit: Unit, population: int, cohort: float | None, rate: float | None) -> float:
    if unit is Unit.RECORD:
        if cohort is not None:
            raise ConfigurationError("--cohort saves no epsilon at record level: leave it out")
        return float(_in("--sample-rate", 1.0 if rate is None else rate, fraction()))
    if rate is not None:
        raise ConfigurationError("--sample-rate is of records; at client level give --cohort")
    wanted = float(population) if cohort is None else cohort
    if not 0.0 < wanted <= population:
        raise ConfigurationError(f"--cohort must be in (0, {population}], got {wanted:g}")
    return wanted / population


def _in(option: str, value: Any, domain: dict[str, Any]) -> Any:
    text, holds = domain["domain"]
    if not holds(value):
        raise ConfigurationError(f"{option} must be {text}, got {value!r}")
    return value


def _content(outlook: "Outlook", noise: float, target: float | None) -> dict[str, Any]:
    claim = outlook.claim(noise)
    return {
        "noise_multiplier": noise,
        "target_epsilon": target,
        "epsilon": claim.epsilon,
        "delta": outlook.delta,
        "unit": outlook.unit,
        "noise": (Noise.DISTRIBUTED if outlook.distributed else Noise.WHOLE).value,
        "adjacency": outlook.adjacency.value,
        "against": _against(outlook),
        "method": claim.method,
        "cross_check": {"pld": claim.pld, "rdp": claim.rdp, "agree": claim.agree},
        "no_amplification_epsilon": outlook.claim_without_amplification(noise).epsilon,
        "sample_rate": outlook.sample_rate,
        "rounds": outlook.rounds,
        "steps": outlook.steps,
        "epsilon_by_rounds": outlook.over_rounds(noise),
        "epsilon_by_delta": outlook.over_delta(noise),
        "what_if": [
            {"noise_multiplier": z, "epsilon_by_sample_rate": row}
            for z, row in outlook.what_if(noise)
        ],
    }


def _show(console: Console, outlook: "Outlook", noise: float) -> None:
    claim = outlook.claim(noise)
    bare = outlook.claim_without_amplification(noise).epsilon
    relation = outlook.adjacency.value.replace("_", " ")
    console.print(
        f"[bold]noise_multiplier = {noise}[/bold]  →  epsilon {claim.epsilon} at delta "
        f"{outlook.delta!r}, unit: one {outlook.unit}, adjacency: {relation}, against "
        f"{_against(outlook)}"
    )
    console.print(
        f"without relying on secret sampling: epsilon {bare}; "
        f"method {claim.method.replace('_', ' ')}"
    )
    console.print(f"\n{_settings(outlook, noise)}", markup=False, soft_wrap=True)
    console.print(_bars("epsilon over rounds", outlook.over_rounds(noise), "rounds"))
    console.print(_bars("epsilon over delta", outlook.over_delta(noise), "delta"))
    console.print(_what_if(outlook, noise))


def _against(outlook: "Outlook") -> str:
    if outlook.distributed:
        return "all who see a model, and the server that sees sums alone"
    if outlook.unit == "record":
        return "the server and all who see a model"
    return "all who see a model but the server"


def _settings(outlook: "Outlook", noise: float) -> str:
    rate = f"{outlook.sample_rate!r}"
    common = (
        f"-c rounds={outlook.rounds} -c population.size={outlook.population} "
        f"-c privacy.unit={outlook.unit} -c privacy.noise_multiplier={noise} "
        f"-c privacy.delta={outlook.delta!r}"
    ) + " -c privacy.noise=distributed" * outlook.distributed
    if outlook.unit == "client":
        return f"{common} -c cohort.sample_rate={rate}"
    return f"{common} -c training.sample_rate={rate} -c training.steps={outlook.steps}"


def _bars(title: str, curve: tuple[tuple[float, float], ...], name: str) -> Table:
    table = Table(title=title, box=None, title_justify="left", title_style="bold")
    table.add_column(name, justify="right")
    table.add_column("epsilon", justify="right")
    table.add_column("")
    highest = max(epsilon for _, epsilon in curve)
    for place, epsilon in curve:
        table.add_row(f"{place:g}", epsilon_text(epsilon), "█" * round(_BAR * epsilon / highest))
    return table


def _what_if(outlook: "Outlook", noise: float) -> Table:
    client = outlook.unit == "client"
    table = Table(
        title=f"epsilon by noise and {'expected cohort' if client else 'sample rate'}",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("noise_multiplier", justify="right")
    for rate in outlook.rates():
        table.add_column(
            f"{rate * outlook.population:g}" if client else f"{rate:g}", justify="right"
        )
    for z, row in outlook.what_if(noise):
        style = "bold" if z == noise else ""
        table.add_row(f"{z:g}", *(epsilon_text(epsilon) for _, epsilon in row), style=style)
    return table
