"""Distributed noise that nobody chose: as much as the run's budget asks for.

The default noise multiplier is meant for whole noise. Noise in whole numbers is accounted more
strictly, and at client level a cohort that knows itself is not amplified: the same multiplier
would overspend. What is found is a setting like any other, and is shown and saved as one.
"""

from murmura.settings import Settings
from shared.dp.claims import check_budget
from shared.dp.fitting import noise_within_budget
from shared.dp.plan import PrivacyPlan
from shared.errors import BudgetExhausted

NOISE = "privacy.noise_multiplier"
ORIGIN = "found for privacy.epsilon_budget"


def with_fitted_noise(settings: Settings) -> Settings:
    """`settings`, with the noise that keeps the budget where it is distributed and nobody set it.

    Never less noise than the default.

    Raises:
        ConfigurationError: settings that describe no run.
        PrivacyError: no noise keeps the budget.
    """
    given = settings.values[NOISE].origin != "default"
    if given or settings["privacy.noise"] != "distributed":
        return settings
    plan = PrivacyPlan.from_config(settings.config())
    try:
        check_budget(plan)
    except BudgetExhausted:
        return settings.with_layer({NOISE: noise_within_budget(plan)}, ORIGIN)
    return settings
