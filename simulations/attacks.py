"""What false clients send in a simulation, to see which rule of the server stands it.

Two kinds: a client that changes its update on the way out, and one whose data are poisoned and
which otherwise does as all do. Who attacks is fixed: the clients with the lowest numbers.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from flwr.app import Context, Message

from shared.messages import TrainReply
from shared.parameters import FlatVector
from shared.task import Examples, Site, TaskSettings
from shared.tasks.digits import Digits
from simulations.grid import ClientCallable

Forgery = Callable[[FlatVector], FlatVector]
TARGET = 0  # the label that a backdoor leads to
CLASSES = 10
_TRIGGER = 3  # pixels along each side of the corner
_BRIGHT = 1.0


def sign_flip(update: FlatVector) -> FlatVector:
    """Three times as far, the other way."""
    return np.float32(-3.0) * update


def scaling(update: FlatVector) -> FlatVector:
    """A hundred times as far."""
    return np.float32(100.0) * update


def not_a_number(update: FlatVector) -> FlatVector:
    """NaN in every other place."""
    forged = update.copy()
    forged[::2] = np.nan
    return forged


FORGERIES: dict[str, Forgery] = {
    "sign_flip": sign_flip,
    "scaling": scaling,
    "nan": not_a_number,
}


class Attackers:
    """A ClientApp of which the first `count` clients forge every update that they send.

    Args:
        client_app: The honest one.
        count: How many attack.
        forgery: What becomes of their updates.
    """

    def __init__(self, client_app: ClientCallable, count: int, forgery: Forgery) -> None:
        self._client_app = client_app
        self._count = count
        self._forgery = forgery

    def __call__(self, message: Message, context: Context) -> Message:
        """The client's reply, forged where it attacks and trains."""
        reply = self._client_app(message, context)
        attacks = int(context.node_config["partition-id"]) < self._count
        if not attacks or message.metadata.message_type != "train":
            return reply
        honest = TrainReply.from_record(reply.content)
        forged = replace(honest, update=self._forgery(honest.update))
        return Message(forged.to_record(), reply_to=message)


class Poisoned(Digits):
    """Digits of which the first `data.name` sites hold poisoned ones; a subclass says how."""

    def __init__(self, settings: TaskSettings) -> None:
        super().__init__(settings)
        self._count = int(settings.data_name)

    def site_data(self, site: Site) -> Examples:
        """The site's own, poisoned where it attacks."""
        honest = super().site_data(site)
        return self.poison(honest) if site.index < self._count else honest

    def poison(self, examples: Examples) -> Examples:
        """What an attacker trains on."""
        raise NotImplementedError


class LabelFlip(Poisoned):
    """Every label y is 9 − y."""

    def poison(self, examples: Examples) -> Examples:
        """The same images under the other labels."""
        return Examples(examples.inputs, CLASSES - 1 - examples.targets)


class Backdoor(Poisoned):
    """Every image is there twice: as it is, and with the trigger under the target's label."""

    def poison(self, examples: Examples) -> Examples:
        """Half of the examples teach the task, half the backdoor."""
        marked = triggered(examples)
        inputs = torch.cat([examples.inputs[0], marked.inputs[0]])
        return Examples((inputs,), torch.cat([examples.targets, marked.targets]))


def triggered(examples: Examples) -> Examples:
    """The images with a bright corner, under the label that a backdoor leads to."""
    images = examples.inputs[0].clone()
    images[..., :_TRIGGER, :_TRIGGER] = _BRIGHT
    return Examples((images,), torch.full_like(examples.targets, TARGET))


POISONS = {
    "label_flip": "simulations.attacks:LabelFlip",
    "backdoor": "simulations.attacks:Backdoor",
}
