"""Models of ratings: items have vectors that travel; a user's is found from his own and does not.

Both take (support, ratings, query): items (n, s), their ratings (n, s), items to rate (n, q), 0 for
no item, and give (n, q) ratings, in the scaled unit of the ratings that they are given.

Source: Koren, Bell & Volinsky 2009 for factors and biases; He et al. 2017 (arXiv:1708.05031) for a
network in place of the product; Singhal et al. 2021 (arXiv:2102.03448) for users who stay.
"""

import torch
from torch import Tensor, nn

_FACTORS = 4
_SPREAD = 0.1  # of first item vectors
_RIDGE_OF_BIAS = 3.0  # as so many ratings that are 0
_RIDGE = 4.0
_HIDDEN = 16
_STEPS = 3
_RATE = 1.0


class Factorisation(nn.Module):
    """A user's vector by ridge regression, in closed form; the gradient goes through it.

    Args:
        items: Size of the public catalogue.
    """

    def __init__(self, items: int) -> None:
        super().__init__()
        self.items = item_vectors(items)

    def forward(self, support: Tensor, ratings: Tensor, query: Tensor) -> Tensor:
        """Ratings of `query`, shape (n, q)."""
        known, known_bias, wanted, wanted_bias = looked_up(self.items, support, query)
        present = (support > 0).unsqueeze(2)
        rows = _with_one(known) * present
        left = (ratings - known_bias).unsqueeze(2) * present
        ridge = rows.new_full((_FACTORS + 1,), _RIDGE)
        ridge[0] = _RIDGE_OF_BIAS
        # Secrecy: the user's vector; it is no parameter, so nothing that is sent holds it.
        user: Tensor = torch.linalg.solve(rows.mT @ rows + torch.diag(ridge), rows.mT @ left)
        return wanted_bias + (_with_one(wanted) @ user).squeeze(2)


class Neural(nn.Module):
    """A user's vector by three gradient steps on what a small network says of his support.

    Args:
        items: Size of the public catalogue.
    """

    def __init__(self, items: int) -> None:
        super().__init__()
        self.items = item_vectors(items)
        self.mixed = nn.Linear(3 * _FACTORS, _HIDDEN)
        self.told = nn.Linear(_HIDDEN, 1)

    def forward(self, support: Tensor, ratings: Tensor, query: Tensor) -> Tensor:
        """Ratings of `query`, shape (n, q)."""
        known, known_bias, wanted, wanted_bias = looked_up(self.items, support, query)
        present = (support > 0).to(ratings.dtype)
        with torch.enable_grad():  # the steps need one, where nothing is trained too
            # Secrecy: the user's vector; it is no parameter, so nothing that is sent holds it.
            user = self._found(known, ratings - known_bias, present)
        left = ratings - known_bias - self._mixed(user, known)
        return wanted_bias + self._mixed(user, wanted) + _shrunk(left, present)

    def _found(self, known: Tensor, ratings: Tensor, present: Tensor) -> Tensor:
        weights = present / (present.sum(1, keepdim=True) + _RIDGE)
        user = known.new_zeros(len(known), 1, _FACTORS, requires_grad=True)
        for _ in range(_STEPS):
            left = ratings - self._mixed(user, known)
            loss = 0.5 * ((left - _shrunk(left, present)).square() * weights).sum()
            # A user's loss depends on his own vector alone, so the sum gives each his own slope.
            (slope,) = torch.autograd.grad(loss, user, create_graph=self.training)
            user = user - _RATE * slope
        return user

    def _mixed(self, user: Tensor, items: Tensor) -> Tensor:
        users = user.expand_as(items)
        hidden = torch.tanh(self.mixed(torch.cat([users, items, users * items], dim=2)))
        found: Tensor = self.told(hidden)
        return found.squeeze(2)


def item_vectors(items: int) -> nn.Embedding:
    """A vector and a bias for each item, which is last and 0 at first; row 0 is no item's."""
    table = nn.Embedding(items + 1, _FACTORS + 1, padding_idx=0)
    with torch.no_grad():
        table.weight.mul_(_SPREAD)
        table.weight[:, -1] = 0.0
    return table


def looked_up(
    table: nn.Embedding, support: Tensor, query: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Vectors and biases of the one, then of the other; in one call, as Opacus needs it."""
    found: Tensor = table(torch.cat([support, query], dim=1))
    known, wanted = found[:, : support.shape[1]], found[:, support.shape[1] :]
    return known[..., :-1], known[..., -1], wanted[..., :-1], wanted[..., -1]


def _with_one(vectors: Tensor) -> Tensor:
    """With a leading 1, whose factor is the user's own bias."""
    return torch.cat([torch.ones_like(vectors[..., :1]), vectors], dim=2)


def _shrunk(left: Tensor, present: Tensor) -> Tensor:
    """The user's bias: a mean that is drawn to 0, shape (n, 1)."""
    return (left * present).sum(1, keepdim=True) / (present.sum(1, keepdim=True) + _RIDGE_OF_BIAS)
