"""chrF: how many runs of characters translations share with those of translators.

The F-score, recall counted twice, of the mean precision and mean recall over runs of one to six
characters, spaces left out; all texts are counted together. 1 for the same texts, 0 for none alike.

Source: Popović 2015, "chrF: character n-gram F-score for automatic MT evaluation", with β = 2.
"""

from collections import Counter
from collections.abc import Sequence

_LONGEST, _BETA = 6, 2.0


def chrf(found: Sequence[str], references: Sequence[str]) -> float:
    """In [0, 1]; of texts that are too short for longer runs, the shorter runs are counted."""
    precisions, recalls = [], []
    for length in range(1, _LONGEST + 1):
        pairs = [
            (_runs(text, length), _runs(reference, length))
            for text, reference in zip(found, references, strict=True)
        ]
        made, wanted = (sum(pair[side].total() for pair in pairs) for side in (0, 1))
        if made and wanted:
            shared = sum((ours & theirs).total() for ours, theirs in pairs)
            precisions.append(shared / made)
            recalls.append(shared / wanted)
    precision, recall = (sum(each) / max(len(each), 1) for each in (precisions, recalls))
    if not precision:
        return 0.0
    weight = _BETA**2
    return (1.0 + weight) * precision * recall / (weight * precision + recall)


def _runs(text: str, length: int) -> Counter[str]:
    letters = "".join(text.split())
    return Counter(letters[start : start + length] for start in range(len(letters) - length + 1))
