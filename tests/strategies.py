"""Hypothesis strategies named by the field's terms."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

clipping_norms = st.floats(1e-3, 1e3)
noise_multipliers = st.floats(0.3, 20.0)
sample_rates = st.floats(0.001, 1.0)
seeds = st.integers(0, 2**63 - 1)
any_floats = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([1e300, -1e300, 1e-300])
)
updates = npst.arrays(np.float64, st.integers(0, 30), elements=any_floats)
