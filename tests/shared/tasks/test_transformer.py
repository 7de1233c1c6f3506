"""Transformers: nothing of the future, nothing of padding, a right gradient for each example."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from client.per_record import ByBookKeeping, chosen
from shared.errors import ConfigurationError
from shared.model_check import check_model
from shared.task import Examples
from shared.tasks.token_scores import (
    bigram_baseline,
    token_losses,
    token_metrics,
    unigram_baseline,
)
from shared.tasks.transformer import PAD, DecoderOnly, EncoderDecoder, Size

VOCABULARY, LENGTH = 11, 9
SMALL = Size(width=8, heads=2, layers=2)


def tokens(count: int, length: int = LENGTH, seed: int = 0) -> Tensor:
    """Tokens that are no padding."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, VOCABULARY, (count, length), generator=generator)


def padded(rows: Tensor) -> Tensor:
    """Row i ends i + 1 tokens early."""
    ends = rows.shape[1] - 1 - torch.arange(len(rows))
    return rows.where(torch.arange(rows.shape[1]) < ends[:, None], PAD)


def decoder() -> DecoderOnly:
    """Two layers, seeded."""
    torch.manual_seed(3)
    return DecoderOnly(VOCABULARY, SMALL)


def both() -> EncoderDecoder:
    """Two and two layers, seeded."""
    torch.manual_seed(3)
    return EncoderDecoder(VOCABULARY, SMALL)


MODELS = decoder(), both()


@given(place=st.integers(0, LENGTH - 1), token=st.integers(1, VOCABULARY - 1))
def test_a_later_token_never_changes_an_earlier_output(place: int, token: int) -> None:
    """Bit for bit, in both kinds; from its place on it may."""
    before = tokens(2)
    after = before.clone()
    after[:, place] = token
    source = tokens(2, 5, seed=1)
    with torch.no_grad():
        model, pair = MODELS
        assert torch.equal(model(before)[:, :place], model(after)[:, :place])
        assert torch.equal(pair(source, before)[:, :place], pair(source, after)[:, :place])


def test_the_test_of_causality_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that may look ahead is found."""
    monkeypatch.setattr(
        "shared.tasks.transformer.no_later", lambda t: torch.ones(2 * t.shape[1:], dtype=torch.bool)
    )
    before = tokens(1)
    after = before.clone()
    after[:, -1] = 1 + before[:, -1] % (VOCABULARY - 1)
    model = decoder()
    assert not torch.equal(model(before)[:, 0], model(after)[:, 0])


def test_a_place_makes_a_difference() -> None:
    """The same token at another place gets another output: positions are there."""
    outputs = decoder()(torch.full((1, LENGTH), 4))
    assert (outputs[0, 1:] - outputs[0, :-1]).abs().amax(1).min() > 1e-3


def test_padding_of_the_source_and_every_source_token_are_told_apart() -> None:
    """More padding changes nothing but rounding; another token does."""
    model, source, target = both(), tokens(2, 5, seed=1), tokens(2)
    longer = nn.functional.pad(source, (0, 4), value=PAD)
    assert torch.allclose(model(source, target), model(longer, target), atol=1e-5)
    for place in range(5):
        other = source.clone()
        other[:, place] = 1 + source[:, place] % (VOCABULARY - 1)
        assert (model(source, target) - model(other, target)).abs().amax(2).min() > 1e-6


@pytest.mark.parametrize("per_record", [True, False])
def test_an_examples_gradient_is_its_own_and_torchs(per_record: bool) -> None:
    """By real backward passes through Opacus; also where examples have different lengths."""
    targets = padded(tokens(4, seed=2))
    check_model(decoder(), Examples((tokens(4),), targets), token_losses, per_record=per_record)
    pairs = Examples((padded(tokens(4, 7, seed=1)), tokens(4)), targets)
    check_model(both(), pairs, token_losses, per_record=per_record)


def test_clipped_gradients_need_no_gradient_of_every_parameter_for_every_record() -> None:
    """Book-keeping knows the layers, and agrees with Opacus on made-up records."""

    def losses(model: nn.Module, batch: Examples) -> Tensor:
        return token_losses(model(*batch.inputs), batch.targets)

    for model, inputs in ((decoder(), (tokens(4),)), (both(), (tokens(4, 7), tokens(4)))):
        assert not [*model.buffers()]
        batch = Examples(inputs, padded(tokens(4, seed=2)))
        assert isinstance(chosen(model, losses, batch, 1.0), ByBookKeeping)


def test_every_trainable_tensor_has_a_gradient() -> None:
    """None that only rounding moves, such as a key's bias would be."""
    for model, inputs in ((decoder(), (tokens(4),)), (both(), (tokens(4, 5), tokens(4)))):
        token_losses(model(*inputs), tokens(4, seed=2)).mean().backward()
        for name, weight in model.named_parameters():
            assert weight.grad is not None, name
            assert weight.grad.norm() > 1e-5, name


@pytest.mark.parametrize(("width", "heads"), [(9, 3), (10, 4)])
def test_a_width_that_cannot_be_shared_out_is_refused(width: int, heads: int) -> None:
    """Odd, or not a multiple of the heads."""
    with pytest.raises(ConfigurationError, match=f"multiple of {heads} heads, got {width}"):
        Size(width=width, heads=heads)


def test_an_examples_loss_and_scores_are_means_over_its_own_tokens() -> None:
    """Padding counts for nothing; an example of padding alone has loss 0."""
    outputs = torch.zeros(3, 2, 4)
    outputs[0, 0, 1] = 50.0
    targets = torch.tensor([[1, 2], [2, PAD], [PAD, PAD]])
    losses = token_losses(outputs, targets)
    assert losses.tolist() == pytest.approx([torch.log(torch.tensor(4.0)).item() / 2, 1.386294, 0])
    metrics = token_metrics(outputs, targets)
    assert metrics["accuracy"].tolist() == [0.5, 0.0, 0.0]
    assert metrics["bits_per_token"].tolist() == pytest.approx([1.0, 2.0, 0.0])


def test_the_baseline_is_that_of_counts() -> None:
    """Worked out by hand: three and one of four tokens, each counted once more."""
    found = unigram_baseline(torch.tensor([[1, 1, 1, 2, PAD]]), torch.tensor([[1, 2, PAD]]), 4)
    assert found["accuracy"] == 0.5
    # Probabilities 1/8, 4/8, 2/8, 1/8.
    assert found["bits_per_token"] == pytest.approx((1 + 2) / 2)


def test_the_baseline_of_pairs_is_that_of_counts() -> None:
    """By hand: after 1 come 2 twice, after 2 comes 1; a pair that never was has its follower's."""
    before, after = torch.tensor([[1, 2, 1, PAD]]), torch.tensor([[2, 1, 2, PAD]])
    # Frequencies of 0, 1, 2 are 1/6, 2/6, 3/6; they are added to the counts of each row.
    found = bigram_baseline((before, after), (torch.tensor([[1, 2]]), torch.tensor([[2, 2]])), 3)
    assert found["accuracy"] == 0.5
    expected = -(math.log2(2.5 / 3) + math.log2(0.5 / 2)) / 2
    assert found["bits_per_token"] == pytest.approx(expected)
