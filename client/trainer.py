"""Local training: plain SGD, or DP-SGD with Opacus, behind one face.

A `LocalTraining` is made once in a process and serves any number of clients: every trainable
parameter is overwritten and every optimizer is new at each call, and the model of a call that
failed is thrown away, so nothing of one client reaches another.

Source: McMahan et al. 2017 (FedAvg); Li et al. 2020 (FedProx, arXiv:1812.06127); Abadi et al. 2016
(DP-SGD).
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from client.batches import batches
from client.beginning import Beginning, initial_layers
from client.descent import Pull
from client.dp_optimizer import RecordOptimizer
from client.layout import channels_last, convolves
from client.losses import losses_of
from client.memory import NOTHING
from client.optimizers import optimizer as optimizer_of
from client.optimizers import plain_optimizer
from client.per_record import PerRecord, chosen
from client.pooling import pool_first
from client.several_devices import SeveralDevices
from client.turn import Turn
from client.update import leaving
from shared.config import RunConfig
from shared.config_sections import TrainingConfig
from shared.dp.clipping import Vector
from shared.dp.mechanisms import RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import Randomness, RandomStream
from shared.dp.sampling import poisson_sample
from shared.local_layers import split
from shared.model_check import check_fixed_parts
from shared.parameters import FlatVector, trainable
from shared.spans import span
from shared.task import Examples, Task

_DRAW = "record_sampling"
_Hooks = Callable[[], None]


class LocalTraining:
    """Trains one site's model for one round at a time.

    Args:
        config: The run's configuration.
        task: Model and losses.
        plan: The privacy plan; at record level it holds noise, clip and sampling.
        device: Where to train; the CPU, where `devices` do.
        devices: Those that share each batch; None: there is one.
    """

    def __init__(
        self,
        config: RunConfig,
        task: Task,
        plan: PrivacyPlan,
        device: torch.device,
        *,
        devices: SeveralDevices | None = None,
    ) -> None:
        self._training: TrainingConfig = config.training
        self._threads = config.runtime.torch_threads
        self._losses = losses_of(task, device, half=config.runtime.autocast)
        self._task = task
        self._mechanism = plan.mechanism
        self._update_plan = plan.update
        self._device = device
        self._devices = devices
        check_fixed_parts(task.build_model)
        self._initial = initial_layers(task.build_model, self._local_layers)
        self._spare: nn.Module | None = self._built()
        self._per_record: PerRecord | None = None  # of the spare model, once it has seen a batch

    def update(  # noqa: PLR0913 - what one turn consists of
        self,
        parameters: FlatVector,
        examples: Examples,
        *,
        randomness: Randomness,
        round_number: int,
        attempt: int,
        client_id: str,
        clipping_norm: float | None = None,
    ) -> FlatVector | Vector:
        """What this client sends in this round: `moved`, clipped where the plan says so.

        Args:
            parameters: As `moved` takes it, like the rest.
            examples: Likewise.
            randomness: Likewise.
            round_number: Likewise.
            attempt: Likewise.
            client_id: Likewise.
            clipping_norm: Of an update at client level; None: the plan's.

        Returns:
            Shape (d,), float32, finite; as `leaving` says. With distributed noise at record
            level, float64: the step that the sum of clipped gradients makes, before any noise.

        Raises:
            ProtocolError: training diverged; and as `moved` raises.
        """
        turn = Turn(
            randomness=randomness, client_id=client_id, round_number=round_number, attempt=attempt
        )
        moved = self.moved(parameters, examples, turn)
        if self._one_step:
            return moved
        return leaving(moved.astype(np.float32, copy=False), self._mechanism, clipping_norm)

    def moved(
        self, parameters: FlatVector, examples: Examples, turn: Turn, kept: FlatVector = NOTHING
    ) -> FlatVector | Vector:
        """local - received after one turn of training, before any clip of the whole.

        Record level: a fixed public number of noisy steps, whatever `examples` holds, even
        nothing. Otherwise plain training; a site without examples does not move.

        Args:
            parameters: Global parameters, and the control variate if there is one; shape (d,),
                float32.
            examples: The site's private examples.
            turn: Whose, and where sampling, noise and dropout come from.
            kept: What the client keeps, as `client.beginning` has it.

        Returns:
            Shape (d,), then the local layers, float32. With distributed noise at record level,
            float64: the step that the sum of clipped gradients makes, before any noise.

        Raises:
            MessageError: `parameters` does not fit the model.
            PrivacyError: the model or the losses do not yield one gradient per example.
        """
        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        # Secrecy: hooks keep activations of a pass that breaks off, so a model is put back only
        # from a turn that ended well; after any other the next client gets a new one.
        if self._spare is None:
            self._per_record = None
        model = self._built() if self._spare is None else self._spare
        self._spare = None
        with span("parameters"):
            parts = split(model, self._local_layers)
            beginning = Beginning.of(
                parameters,
                kept,
                self._initial,
                shared=sum(weight.numel() for weight in parts.shared),
                controlled=self._update_plan is not None and self._update_plan.controlled,
            )
            beginning.load(parts)
        with span("data"):
            local = examples.to(self._device)
            local = channels_last(local) if convolves(model) else local
        with torch.random.fork_rng(devices=_forked(self._device)):
            _seed(self._device, turn.stream("dropout").integer())
            if self._devices is not None:
                self._devices.begin(turn)
            found = self._trained(model, local, turn, beginning)
        self._spare = model
        return found

    @property
    def _one_step(self) -> bool:
        return isinstance(self._mechanism, RecordPrivacy) and self._mechanism.distributed

    @property
    def _local_layers(self) -> str:
        return "" if self._update_plan is None else self._update_plan.local_layers

    def _trained(
        self, model: nn.Module, local: Examples, turn: Turn, beginning: Beginning
    ) -> FlatVector | Vector:
        parts = split(model, self._local_layers)
        private = isinstance(self._mechanism, RecordPrivacy)
        step_length = self._training.learning_rate * max(1, self._training.steps)
        hooks = self._hooks(parts.shared, beginning.drift(parts, step_length))
        if isinstance(self._mechanism, RecordPrivacy):
            if self._mechanism.distributed:
                return self._one_summed_step(model, local, turn, self._mechanism)
            self._train_privately(model, local, turn, self._mechanism, hooks)
        else:
            self._train(model, local, turn, hooks)
        with span("parameters"):
            return beginning.ended(parts, stepped=private or bool(len(local)))

    def _built(self) -> nn.Module:
        with torch.random.fork_rng(devices=_forked(self._device)):
            model: nn.Module = self._task.build_model().to(self._device).train()
        pool_first(model)
        if convolves(model):
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model

    def _train(
        self, model: nn.Module, examples: Examples, turn: Turn, hooks: _Hooks | None
    ) -> None:
        optimizer = plain_optimizer(self._training, trainable(model))
        images = convolves(model)
        for rows in batches(self._training, len(examples), turn):
            with span("data"):
                batch = examples.select(rows.to(self._device))
                batch = channels_last(batch) if images else batch
            optimizer.zero_grad(set_to_none=True)
            self._descend(model, batch)
            with span("step"):
                if hooks is not None:
                    hooks()
                optimizer.step()

    def _descend(self, model: nn.Module, batch: Examples) -> None:
        """The gradient of the mean loss."""
        if self._devices is not None:
            sums = self._devices.sums(model, self._losses, batch)
            for weight, found in zip(trainable(model), sums, strict=True):
                weight.grad = found / len(batch)
            return
        with span("forward"):
            loss = self._losses(model, batch).mean()
        with span("backward"):
            loss.backward()

    def _train_privately(
        self,
        model: nn.Module,
        examples: Examples,
        turn: Turn,
        mechanism: RecordPrivacy,
        hooks: _Hooks | None,
    ) -> None:
        # Guarantee: local layers are inside the same clip and noise as the shared ones. What is
        # sent later depends on them; made of noisy steps, they are part of what was accounted.
        optimizer = RecordOptimizer(optimizer_of(self._training, trainable(model)), mechanism)
        # Guarantee: the number of steps is public; it depends on no record, and neither does
        # whether a step is taken: an empty batch is noise alone.
        for step in range(1, mechanism.steps_per_round + 1):
            self._accumulate(model, examples, optimizer, mechanism, turn.stream(_DRAW, step))
            optimizer.noisy_step(
                turn.stream("record_noise", step), post_process=hooks, place=turn.place(step)
            )

    def _one_summed_step(
        self, model: nn.Module, examples: Examples, turn: Turn, mechanism: RecordPrivacy
    ) -> Vector:
        """-η/B · Σ clipped gradients: what a step without noise would add to the parameters."""
        optimizer = RecordOptimizer(optimizer_of(self._training, trainable(model)), mechanism)
        self._accumulate(model, examples, optimizer, mechanism, turn.stream(_DRAW, 1))
        # Secrecy: no noise has been added; only `Encoding.encode` and a mask may let it out.
        rate = self._training.learning_rate / mechanism.batch_size
        summed: Vector = optimizer.take_sum().astype(np.float64) * -rate
        return summed

    def _accumulate(
        self,
        model: nn.Module,
        examples: Examples,
        optimizer: RecordOptimizer,
        mechanism: RecordPrivacy,
        stream: RandomStream,
    ) -> None:
        """Draw a batch and add the clipped gradient of each record in it."""
        with span("data"):
            drawn = poisson_sample(len(examples), mechanism.sample_rate, stream=stream)
            batch = examples.select(torch.from_numpy(drawn).to(self._device))
        if self._devices is not None:
            # Also for an empty batch: what can fail does not depend on what was drawn.
            with span("clip"):
                optimizer.add(self._devices.sums(model, self._losses, batch))
            return
        for part in batch.chunks(self._training.max_physical_batch):
            if self._per_record is None:
                norm = optimizer.clipping_norm
                self._per_record = chosen(model, self._losses, part, norm)
            with span("clip"):
                self._per_record.add(part, optimizer)

    def _hooks(self, shared: list[nn.Parameter], drift: _Hooks | None) -> _Hooks | None:
        """What changes gradients by what does not depend on the step's records."""
        term = self._training.proximal_term
        return Pull(shared, term) if term else drift


def _forked(device: torch.device) -> list[int]:
    """The GPUs whose generator must be put back afterwards."""
    return [device.index or 0] if device.type == "cuda" else []


def _seed(device: torch.device, seed: int) -> None:
    """Seed what dropout draws from; on the CPU its generator alone, since asking all takes 1 ms."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
