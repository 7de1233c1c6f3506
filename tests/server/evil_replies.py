"""Replies that no honest client sends: an honest one with something wrong, for Hypothesis."""

from collections.abc import Callable

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import strategies as st

HEADER, VECTORS = "murmura", "murmura.vectors"
_KINDS = ("<f4", "|u1")
Evil = Callable[[RecordDict], object]


def npy(form: str, content: bytes = b"", *, magic: bytes = b"\x93NUMPY\x01\x00") -> bytes:
    """A file of NumPy's with this header, whether it is true or not."""
    return magic + len(form).to_bytes(2, "little") + form.encode() + content


def described(kind: str, shape: str, content: bytes, *, fortran: bool = False) -> bytes:
    """A file of NumPy's that says it holds this."""
    form = f"{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': {shape}, }}"
    return npy(form + " " * (117 - len(form)) + "\n", content)


def array_of(content: bytes, stype: str = "numpy.ndarray") -> Array:
    """An array of Flower's with these bytes."""
    return Array(dtype="float32", shape=(1,), stype=stype, data=content)


# Zip, pickle, other numbers, other byte order, other shapes, lengths that are not there.
_files = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda rest: b"PK\x03\x04" + rest, st.binary(max_size=100)),
    st.builds(
        described,
        st.sampled_from(["<f8", ">f4", "<f2", "|O", "<U9", "<i4", "|V4", "<c8", "<f4", "|u1"]),
        st.sampled_from(
            ["(2, 1)", "()", "(1099511627776,)", "(-1,)", "(2,)" * 9, "(9999999999999999999,)",
             "(3,)", "(0,)", "(1 << 40,)", "2", "(True,)", "(2,), 'more': (1,)"]
        ),
        st.binary(min_size=1, max_size=40).filter(lambda content: len(content) not in {3, 12}),
    ),
    st.builds(lambda depth: npy("(" * depth), st.sampled_from([10, 200, 9000, 60_000])),
    st.builds(lambda depth: npy("-" * depth + "1"), st.sampled_from([200, 9000, 60_000])),
    st.builds(lambda: described("<f4", "(2,)", bytes(8), fortran=True)),
    st.builds(lambda: npy("", bytes(300), magic=b"\x93NUMPY\x03\x00")),
)  # fmt: skip
_values = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=30),
    st.binary(max_size=30), st.lists(st.integers(0, 5), max_size=3), st.just("x" * 10**6),
    st.just([1] * 10**5),
)  # fmt: skip


def _put(name: str, value: object) -> Evil:
    def spoil(record: RecordDict) -> None:
        header = record.config_records[HEADER]
        if value is None:
            del header[name]
        else:
            header[name] = value  # type: ignore[assignment]

    return spoil


def _vector(name: str, content: bytes, stype: str = "numpy.ndarray") -> Evil:
    def spoil(record: RecordDict) -> None:
        record.array_records[VECTORS][name] = array_of(content, stype)

    return spoil


def _record(name: str, part: ArrayRecord | ConfigRecord | MetricRecord) -> Evil:
    def spoil(record: RecordDict) -> None:
        record[name] = part

    return spoil


def _without(name: str) -> Evil:
    def spoil(record: RecordDict) -> None:
        del record[name]

    return spoil


def _many(count: int) -> Evil:
    def spoil(record: RecordDict) -> None:
        for number in range(count):
            record[f"more-{number}"] = MetricRecord({"loss": 0.5})

    return spoil


def spoiling(fields: tuple[str, ...], vectors: tuple[str, ...]) -> st.SearchStrategy[Evil]:
    """Ways to spoil a message with these fields and vectors."""
    names = st.sampled_from(fields)
    return st.one_of(
        st.builds(_put, names, _values),
        st.builds(_put, st.one_of(st.text(min_size=1, max_size=9), st.just("y" * 10**5)), _values),
        st.builds(_vector, st.sampled_from(vectors), _files),
        st.builds(_vector, st.sampled_from(vectors), st.just(described("<f4", "(2,)", bytes(8))),
                  st.sampled_from(["torch", "", "numpy"])),
        st.builds(_vector, st.text(max_size=9), _files),
        st.builds(_record, st.text(max_size=9), st.sampled_from([
            MetricRecord({"loss": 0.5}), ConfigRecord({"a": "b"}), ArrayRecord()])),
        st.builds(_record, st.sampled_from([HEADER, VECTORS]), st.sampled_from([
            MetricRecord({"loss": 0.5}), ConfigRecord({}), ArrayRecord()])),
        st.builds(_without, st.sampled_from([HEADER, VECTORS])),
        st.builds(_many, st.sampled_from([1, 50])),
    )  # fmt: skip


def numbers(*values: float) -> bytes:
    """An honest file of NumPy's with these float32."""
    content = np.array(values, dtype="<f4").tobytes()
    return described("<f4", f"({len(values)},)", content)
