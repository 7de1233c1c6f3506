"""Why a party of secure aggregation does not answer: each check has a name of its own."""

from enum import StrEnum


class Refusal(StrEnum):
    """The checks of docs/secure-aggregation.md, in the order in which they come."""

    TOO_FEW_KEYS = "too_few_keys"
    DUPLICATE_KEY = "duplicate_key"
    NOT_ENROLLED = "not_enrolled"
    FOREIGN_SIGNATURE = "foreign_signature"
    OWN_KEY_MISSING = "own_key_missing"
    ROSTER_CHANGED = "roster_changed"
    PLAN_CHANGED = "plan_changed"
    RUN_CHANGED = "run_changed"
    ROUND_WENT_BACK = "round_went_back"
    ATTEMPT_REUSED = "attempt_reused"
    COHORT_TOO_SMALL = "cohort_too_small"
    COHORT_MALFORMED = "cohort_malformed"
    HELPER_MISSING = "helper_missing"
    NOT_IN_COHORT = "not_in_cohort"
    NOT_IN_COMMITTEE = "not_in_committee"
    CONTEXT_CHANGED = "context_changed"
    ANSWERED_BEFORE = "answered_before"
    TOO_FEW_SURVIVORS = "too_few_survivors"
    SURVIVOR_TWICE = "survivor_twice"
    SURVIVOR_NOT_IN_COHORT = "survivor_not_in_cohort"
    SURVIVORS_ISOLATED = "survivors_isolated"
    CIPHERTEXT_OF_ANOTHER_CONTEXT = "ciphertext_of_another_context"
