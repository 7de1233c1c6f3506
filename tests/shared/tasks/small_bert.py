"""A BERT of a few thousand weights in a folder, with a tokenizer of a few words."""

from hashlib import sha256
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel

from shared.text_section import TextConfig

WORDS = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "der",
    "die",
    "le",
    "la",
    "haus",
    "maison",
    "und",
    "et",
)
FILES = ("config.json", "model.safetensors", "tokenizer.json")
LABELS = "de,fr"
ROWS = ["der haus und,de", "la maison et le maison,fr", "die haus,de", "le et la,fr"] * 2


def small_bert(folder: Path, *, prefix: str = "bert.") -> TextConfig:
    """Writes it, and texts in two languages, and says what the run's settings say of it."""
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=40,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = BertModel(config)
    weights = {prefix + name: weight.contiguous() for name, weight in model.state_dict().items()}
    save_file(weights | {"cls.predictions.bias": torch.zeros(3)}, folder / FILES[1])
    config.to_json_file(str(folder / FILES[0]))
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token=WORDS[1]))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / FILES[2]))
    for name in ("train.csv", "test.csv"):
        (folder / name).write_text("\n".join(["text,label", *ROWS]), encoding="utf-8")
    return TextConfig(labels=LABELS, encoder=str(folder), encoder_sha256=checksum(folder))


def checksum(folder: Path) -> str:
    """Of the three files one after another."""
    return sha256(b"".join((folder / name).read_bytes() for name in FILES)).hexdigest()
