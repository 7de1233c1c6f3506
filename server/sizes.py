"""How many bytes an honest reply has at most: known before it is asked for, from model and graph.

A longer one is refused before any of it is decoded, and over the network before it is put together.
"""

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from shared.secagg.graph import RoundGraph
from shared.secagg.keys import SEAL_BYTES
from shared.secagg.ring import packed_bytes
from shared.secagg.transcript import KEY_BYTES

# Header, names, and what NumPy and Flower write around arrays.
AROUND = 1 << 14
_OF_A_NUMBER = 8
_OF_A_NAME = 600  # of at most 100 characters, as JSON


def vector_bytes(dimension: int) -> int:
    """Of a reply with a vector of float32."""
    return AROUND + 4 * dimension


def upload_bytes(graph: RoundGraph, length: int, bits: int) -> int:
    """Of a reply with a vector under masks, and what undoes them."""
    seeds = (1 + graph.parameters.degree) * KEY_BYTES
    sealed = len(graph.committee) * (seeds + SEAL_BYTES)
    return AROUND + packed_bytes(length, bits) + seeds + sealed


def answer_bytes(survivors: int, pairs: int, length: int, bits: int) -> int:
    """Of what one member tells: shares for each survivor, and for each pair; or a sum of masks."""
    shares = (survivors + pairs) * KEY_BYTES
    return AROUND + survivors * _OF_A_NAME + max(shares, packed_bytes(length, bits))


def size_of(record: RecordDict) -> int:
    """Bytes of all that `record` holds, at least; names and numbers of entries too."""
    return sum(len(name) + _record_bytes(part) for name, part in record.items())


def _record_bytes(part: ArrayRecord | MetricRecord | ConfigRecord) -> int:
    names = sum(len(name) + _OF_A_NUMBER for name in part)
    return names + sum(_value_bytes(value) for value in part.values())


def _value_bytes(value: object) -> int:
    if isinstance(value, Array):
        around = len(value.dtype) + len(value.stype) + _OF_A_NUMBER * len(value.shape)
        return len(value.data) + around
    if isinstance(value, list):
        return sum(_OF_A_NUMBER + _value_bytes(entry) for entry in value)
    return len(value) if isinstance(value, str | bytes) else 0
