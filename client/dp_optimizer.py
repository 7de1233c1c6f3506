"""Opacus' DP optimizer with a cryptographic noise source and a public divisor.

One step releases (Σᵢ clip(gᵢ) + 𝒩(0, z²C²)) / B for a public B. We deviate from Opacus 1.6 in five
places: a gradient that is not finite counts as zero (there it passes the clip: NaN is not above any
norm, and 0·∞ is NaN); noise for the whole vector comes from one `RandomStream`; the divisor is a
constant of the plan, not the data set's size (its issues 571 and 819); an empty batch still takes
its noisy step; norms are right for large layers too (there they are too small, by 1e-4 for one of
4 million parameters).

Source: Abadi et al. 2016, Algorithm 1 (arXiv:1607.00133).
"""

from collections.abc import Callable, Sequence

import torch
from opacus.optimizers import DPOptimizer
from torch import Tensor

from shared.dp.mechanisms import RecordPrivacy
from shared.dp.noise import gaussian_noise
from shared.dp.randomness import RandomStream
from shared.dp.witness import Place, Witness, installed
from shared.errors import PrivacyError
from shared.norms import row_norms
from shared.parameters import FlatVector
from shared.spans import span

_SMALLEST = 1e-6  # added to each norm, as Opacus does


class RecordOptimizer(DPOptimizer):  # type: ignore[misc]  # opacus has no stubs
    """Wraps a torch optimizer whose parameters belong to an Opacus GradSampleModule.

    Args:
        optimizer: Takes the step on the noisy gradient.
        mechanism: Clipping norm, noise and divisor.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, mechanism: RecordPrivacy) -> None:
        super().__init__(
            optimizer,
            noise_multiplier=mechanism.noise_multiplier,
            max_grad_norm=mechanism.clipping_norm,
            expected_batch_size=mechanism.batch_size,
            loss_reduction="mean",
        )
        self._mechanism = mechanism
        self._noise: tuple[Tensor, ...] = ()

    def accumulate(self, examples: int) -> None:
        """Add the clipped gradient of each example of the batch just passed backward.

        Args:
            examples: Length of that batch, at least 1.

        Raises:
            PrivacyError: a trainable parameter has no gradient per example: none at all, or one
                for each part of an example.
        """
        for parameter in self.params:
            gradient = parameter.grad_sample
            # Guarantee: what Opacus did not follow would reach the sum unclipped, or not at all;
            # a model that folds parts of an example into the batch has each part clipped to C.
            if not isinstance(gradient, Tensor) or len(gradient) != examples:
                raise PrivacyError(
                    "expected one gradient per example for every trainable parameter, got "
                    f"something else for one of shape {tuple(parameter.shape)}"
                )
        self._zero_what_is_not_finite()
        self.clip_and_accumulate()
        for parameter in self.params:
            parameter.grad_sample = None

    def clip_and_accumulate(self) -> None:
        """Add Σᵢ gᵢ · min(1, C / (‖gᵢ‖ + 1e-6)) of the examples at hand, at least one."""
        each = self.grad_samples
        # Guarantee: ‖clip(gᵢ)‖ ≤ C but for rounding, whatever the size of the model.
        norms = torch.stack([row_norms(gradient) for gradient in each]).norm(dim=0)
        factors = (self.max_grad_norm / (norms + _SMALLEST)).clamp(max=1.0)
        self.add(
            [
                torch.einsum("i,i...", factors.to(gradient), gradient).to(parameter.dtype)
                for parameter, gradient in zip(self.params, each, strict=True)
            ]
        )

    @property
    def clipping_norm(self) -> float:
        """C."""
        return self._mechanism.clipping_norm

    def add(self, sums: Sequence[Tensor]) -> None:
        """Add to what was accumulated.

        Args:
            sums: Σ clipped gradients of each parameter, in the optimizer's order.
        """
        for parameter, part in zip(self.params, sums, strict=True):
            before = parameter.summed_grad
            parameter.summed_grad = part if before is None else before + part

    def step(self, closure: Callable[[], float] | None = None) -> None:
        """Never: a step needs its noise. Raises PrivacyError; use `noisy_step`."""
        del closure
        raise PrivacyError("expected a step with a stream of noise, got one without")

    def noisy_step(
        self,
        stream: RandomStream,
        *,
        post_process: Callable[[], None] | None = None,
        place: Place | None = None,
    ) -> None:
        """One release and one step, whether or not any example was accumulated.

        Args:
            stream: Noise of this step alone.
            post_process: Changes the noisy gradients by what does not depend on the data.
            place: Where in the run this step is, for the witness of a simulation.
        """
        for parameter in self.params:
            if parameter.summed_grad is None:
                parameter.summed_grad = torch.zeros_like(parameter)
        with span("noise"):
            self._noise = self._draw(stream)
        witness = None if place is None else installed()
        if witness is None or place is None:
            self.add_noise()
        else:
            self._add_noise_before(witness, place)
        self.scale_grad()
        if post_process is not None:
            post_process()
        with span("step"):
            self.original_optimizer.step()
        for parameter in self.params:
            parameter.summed_grad = None

    def take_sum(self) -> FlatVector:
        """Σ clipped gradients, shape (d,), float32, without noise; zero after an empty batch."""
        # Secrecy: for a sum whose noise many share; nothing else may let it out.
        sums = [
            torch.zeros_like(parameter) if parameter.summed_grad is None else parameter.summed_grad
            for parameter in self.params
        ]
        for parameter in self.params:
            parameter.summed_grad = None
        flat: FlatVector = torch.cat([part.detach().reshape(-1) for part in sums]).cpu().numpy()
        return flat

    def add_noise(self) -> None:
        """Put sum + noise into each parameter's `grad`."""
        for parameter, noise in zip(self.params, self._noise, strict=True):
            parameter.grad = parameter.summed_grad + noise
        self._noise = ()

    def _add_noise_before(self, witness: Witness, place: Place) -> None:
        """`add_noise`, with what the witness of a simulation adds and sees."""
        norm = self._mechanism.clipping_norm
        sums = torch.cat([parameter.summed_grad.reshape(-1) for parameter in self.params])
        added = witness.contribution(place, len(sums))
        if added is None:
            self.add_noise()
            return
        rows = torch.from_numpy(added.indices).to(sums.device)
        others = sums[rows]
        sums[rows] = others + norm * torch.from_numpy(added.values).to(others)
        sizes = [parameter.numel() for parameter in self.params]
        for parameter, chunk in zip(self.params, sums.split(sizes), strict=True):
            parameter.summed_grad = chunk.view_as(parameter)
        self.add_noise()
        noisy = torch.cat([parameter.grad.reshape(-1) for parameter in self.params])[rows]
        seen = [values.double().cpu().numpy() / norm for values in (others, noisy)]
        witness.saw(place, seen[0], seen[1])

    def scale_grad(self) -> None:
        """Divide by the public constant."""
        for parameter in self.params:
            parameter.grad /= self._mechanism.batch_size

    def _draw(self, stream: RandomStream) -> tuple[Tensor, ...]:
        parameters = self.params
        sizes = [parameter.numel() for parameter in parameters]
        flat = gaussian_noise(sum(sizes), self._mechanism.noise_stddev, stream=stream)
        chunks = torch.from_numpy(flat).split(sizes)
        # First the type, then the device: not every GPU knows double precision.
        return tuple(
            chunk.view(parameter.shape).to(parameter.dtype).to(parameter.device)
            for chunk, parameter in zip(chunks, parameters, strict=True)
        )

    def _zero_what_is_not_finite(self) -> None:
        gradients = [parameter.grad_sample for parameter in self.params]
        # A sum that is finite has finite terms: one cheap pass in the ordinary case.
        if all(bool(torch.isfinite(gradient.sum())) for gradient in gradients):
            return
        finite = torch.stack(
            [torch.isfinite(gradient).reshape(len(gradient), -1).all(1) for gradient in gradients]
        ).all(0)
        for gradient in gradients:
            gradient[~finite] = 0.0
