"""The noise that a whole plan needs to keep its budget."""

from dataclasses import replace

from dp_accounting import dp_event as dp

from shared.dp.calibration import calibrated_noise
from shared.dp.exposure import composed, planned_exposure
from shared.dp.mechanisms import ClientPrivacy, RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.errors import ConfigurationError


def noise_within_budget(plan: PrivacyPlan) -> float:
    """The least noise multiplier, nearly, with which all that `plan` releases keeps its budget.

    A function of public constants alone. Private evaluation and statistics keep their own noise.

    Raises:
        ConfigurationError: no plan of independent noise with a fixed clip.
        PrivacyError: no noise on the updates keeps the budget.
    """
    mechanism = plan.mechanism
    if not isinstance(mechanism, RecordPrivacy | ClientPrivacy) or plan.adaptive:
        raise ConfigurationError(
            f"expected a plan with independent noise and a fixed clip, got {mechanism.kind!r}"
        )

    def event_of(noise_multiplier: float) -> dp.DpEvent:
        noised = replace(mechanism, noise_multiplier=noise_multiplier)
        return composed(planned_exposure(replace(plan, mechanism=noised)))

    return calibrated_noise(event_of, plan.epsilon_budget, plan.delta, mechanism.adjacency)
