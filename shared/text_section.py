"""The section of a run's configuration that text tasks read; it cannot change the guarantee."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TextConfig:
    """What every node must agree on to make the same model of text.

    Attributes:
        labels: All that a text may have, a,b,c; public. "": the task's own.
        encoder: Folder of a BERT, the same path on every node; "": the one the task names.
        encoder_sha256: Of its config.json, model.safetensors and tokenizer.json, one after another.
        layers: The first so many of the BERT are used; 0: all.
    """

    labels: str = ""
    encoder: str = ""
    encoder_sha256: str = ""
    layers: int = 0
