"""A clipping norm that follows a quantile of the updates' norms, privately.

Each client tells, beside its clipped update, whether it was clipped at all: ±½. The sum of these
gets noise of standard deviation σ_b; its sensitivity is ½, so it is a Gaussian mechanism of
multiplier 2σ_b. Together with the updates at multiplier z_Δ it is one of z where
z⁻² = z_Δ⁻² + (2σ_b)⁻²: the accountant sees z alone.

Source: Andrew, Thakkar, McMahan & Ramaswamy 2021 (arXiv:1905.03871), algorithm 1 and theorem 1.
"""

import math

from shared.errors import ConfigurationError

BELOW, ABOVE = 0.5, -0.5
_FARTHEST = math.log(1e6)  # the clip stays between 10⁻⁶ and 10⁶


def update_noise_multiplier(noise_multiplier: float, count_noise_multiplier: float) -> float:
    """z_Δ = (z⁻² - (2σ_b)⁻²)^(-½): what is left for the updates.

    Raises:
        ConfigurationError: the count alone costs more than z allows.

    >>> round(update_noise_multiplier(1.0, 5.0), 6)
    1.005038
    """
    left = noise_multiplier**-2 - (2.0 * count_noise_multiplier) ** -2
    if not left > 0.0:
        raise ConfigurationError(
            f"privacy.count_noise_multiplier must be above noise_multiplier / 2 = "
            f"{noise_multiplier / 2:g}, got {count_noise_multiplier:g}"
        )
    return 1.0 / math.sqrt(left)


def adapted(
    clipping_norm: float, unclipped_share: float, *, quantile: float, learning_rate: float
) -> float:
    """C·exp(-η(b̃ - γ)): smaller where more than the quantile were unclipped, larger otherwise.

    Args:
        clipping_norm: C of this round.
        unclipped_share: Noisy b̃; may lie outside [0, 1].
        quantile: γ.
        learning_rate: η.

    Returns:
        C of the next round; positive and finite whatever the noise was.
    """
    step = max(-1.0, min(1.0, learning_rate * (unclipped_share - quantile)))
    moved = math.log(clipping_norm) - step
    return math.exp(max(-_FARTHEST, min(_FARTHEST, moved)))
