"""The noise that a plan needs: within the budget, and hardly more than that."""

import pytest

from shared.config import Scalar
from shared.dp.claims import check_budget, planned_claims
from shared.dp.fitting import noise_within_budget
from shared.errors import BudgetExhausted, ConfigurationError, PrivacyError
from tests.server.toy import plan

DISTRIBUTED: dict[str, Scalar] = {"privacy.noise": "distributed", "privacy.epsilon_budget": 2.0}


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "changes",
    [
        {"privacy.unit": "client"},
        {"privacy.unit": "record"},
        {"privacy.unit": "record", "evaluation.private_every": 2},
    ],
)
def test_the_noise_keeps_the_budget_and_a_hundredth_less_does_not(
    changes: dict[str, Scalar],
) -> None:
    """All that the plan releases is counted, its private evaluation too."""
    changes = DISTRIBUTED | {"rounds": 6} | changes
    noise = noise_within_budget(plan(changes))
    check_budget(plan(changes | {"privacy.noise_multiplier": noise}))
    with pytest.raises(BudgetExhausted):
        check_budget(plan(changes | {"privacy.noise_multiplier": 0.99 * noise}))


def test_noise_for_a_plan_without_its_queries_would_overspend() -> None:
    """A planted bug: training alone is fitted, and the evaluation comes on top."""
    asked = DISTRIBUTED | {"privacy.unit": "record", "rounds": 6}
    noise = noise_within_budget(plan(asked))
    asked |= {"evaluation.private_every": 2, "privacy.noise_multiplier": noise}
    with pytest.raises(BudgetExhausted):
        check_budget(plan(asked))


def test_it_refuses_what_it_cannot_fit() -> None:
    """No unit of privacy, an adaptive clip; and queries that alone overspend."""
    none: dict[str, Scalar] = {"privacy.unit": "none"}
    adaptive: dict[str, Scalar] = {"privacy.unit": "client", "privacy.clipping": "adaptive"}
    for changes in (none, adaptive):
        with pytest.raises(ConfigurationError, match="independent noise"):
            noise_within_budget(plan(changes))
    dear: dict[str, Scalar] = {"evaluation.private_every": 1, "evaluation.noise_multiplier": 0.1}
    with pytest.raises(PrivacyError, match="no noise multiplier"):
        noise_within_budget(plan(DISTRIBUTED | dear | {"privacy.unit": "record"}))


def test_without_queries_it_is_the_noise_of_the_claim() -> None:
    """What is fitted is what the report will state."""
    changes = DISTRIBUTED | {"privacy.unit": "client", "rounds": 6}
    noise = noise_within_budget(plan(changes))
    claimed = planned_claims(plan(changes | {"privacy.noise_multiplier": noise}))[-1].epsilon
    assert 1.95 < claimed <= 2.0
