"""LSTM and GRU over tokens, by Opacus' layers, which have a gradient for each example."""

from collections.abc import Callable

import torch
from opacus.layers import DPGRU, DPLSTM
from torch import Tensor, nn

from shared.preprocessing.text import PADDING


class Recurrent(nn.Module):
    """Embedding, one recurrent layer, the mean of its states over the text, a linear layer.

    Args:
        layer: Makes the recurrent layer of an input and a hidden size.
        tokens: Size of the vocabulary, padding included.
        classes: Number of outputs.
        width: Of an embedding.
        hidden: Of a state.
    """

    def __init__(
        self,
        layer: Callable[[int, int], nn.Module],
        tokens: int,
        classes: int,
        *,
        width: int = 32,
        hidden: int = 64,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.recurrent = layer(width, hidden)
        self.head = nn.Linear(hidden, classes)

    def forward(self, numbers: Tensor) -> Tensor:
        """Outputs, shape (n, classes), of token numbers, shape (n, T); padding adds nothing."""
        states = self.recurrent(self.embedding(numbers))[0]
        there = (numbers != PADDING).to(states.dtype).unsqueeze(2)
        mean = (states * there).sum(1) / there.sum(1).clamp(min=1.0)
        outputs: Tensor = self.head(mean)
        return outputs


def lstm(width: int, hidden: int) -> nn.Module:
    """One layer of LSTM."""
    layer: nn.Module = DPLSTM(width, hidden, batch_first=True)
    return layer


def gru(width: int, hidden: int) -> nn.Module:
    """One layer of GRU."""
    layer: nn.Module = DPGRU(width, hidden, batch_first=True)
    return layer


class MeanOfTokens(nn.Module):
    """The mean of the embeddings and a linear layer: what the recurrent models must beat.

    Args:
        tokens: Size of the vocabulary, padding included.
        classes: Number of outputs.
        width: Of an embedding.
    """

    def __init__(self, tokens: int, classes: int, *, width: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.head = nn.Linear(width, classes)

    def forward(self, numbers: Tensor) -> Tensor:
        """As `Recurrent.forward`."""
        there = (numbers != PADDING).to(torch.get_default_dtype()).unsqueeze(2)
        mean = (self.embedding(numbers) * there).sum(1) / there.sum(1).clamp(min=1.0)
        outputs: Tensor = self.head(mean)
        return outputs
