"""The parameters of secure aggregation that follow from a plan, in words."""

from shared.dp.plan import PrivacyPlan
from shared.errors import ConfigurationError
from shared.secagg.encoding import Encoding, parameters_of, update_encoding
from shared.secagg.parameters import AggregationParameters


def described(plan: PrivacyPlan, dimension: int) -> str:
    """Ring, scale, who undoes the masks and each client's share of the noise; empty without it.

    For a cohort of the expected size: with another, each attempt has others.
    """
    if plan.aggregation is None:
        return ""
    size = round(plan.denominator)
    try:
        parameters = parameters_of(plan, size)
        encoding = update_encoding(plan, dimension, size)
    except ConfigurationError as error:
        return f"secure aggregation: no cohort of the expected {size} can be summed: {error}"
    return f"secure aggregation of {size}: {_who(parameters)}; {_how(encoding)}"


def _who(parameters: AggregationParameters) -> str:
    masks = "all with all" if parameters.complete else f"with {parameters.degree} each"
    undo = f"committee of {parameters.committee_size}, {parameters.threshold} must answer"
    if parameters.helped:
        masks, undo = f"with {parameters.committee_size} helpers", "all of whom must answer"
    return f"masks {masks}, {undo}, sums of {parameters.survivors} or more"


def _how(encoding: Encoding) -> str:
    ring = f"{encoding.length:,} numbers of {encoding.bits} bits, {encoding.scale:,g} units to 1"
    if not encoding.share_variance:
        return ring
    return (
        f"{ring}, noise share of variance {encoding.share_variance:,} squared units so that any "
        f"{encoding.honest} carry the noise"
    )
