"""The messages of secure aggregation as bytes; what cannot be read is refused, never guessed.

A message is a sequence of fields, each its length (8 bytes, little end first) and its content.
Everything of one length lies in one field: 900 signatures are one field of 57,600 bytes.

    keys          names · public keys · signatures
    context       run · plan · roster · model · kind · numbers · cohort
    upload        name · hash of vector · hash of shares · signature · vector · commitments · sealed
    request       context · names · hashes of vectors · of shares · signatures · sealed
    answer        context · name · names unopened · own shares · shares of pairs · sum of masks
"""

import json
from collections.abc import Collection, Sequence

from shared.errors import MessageError
from shared.secagg.exchange import (
    MaskedUpdate,
    RoundContext,
    SignedHeader,
    UnmaskAnswer,
    UnmaskRequest,
)
from shared.secagg.keys import SignedKey
from shared.secagg.transcript import KEY_BYTES

_LENGTH = 8
_HASH, _SIGNATURE = 32, 64


def fields(content: bytes, count: int) -> list[bytes]:
    """The `count` fields of `content`. Raises MessageError on any other number."""
    found: list[bytes] = []
    place = 0
    while place < len(content):
        start = place + _LENGTH
        place = start + int.from_bytes(content[place:start], "little")
        if place > len(content) or len(found) == count:
            raise MessageError(f"expected {count} fields, got more or a part of one")
        found.append(content[start:place])
    if len(found) != count:
        raise MessageError(f"expected {count} fields, got {len(found)}")
    return found


def joined(*parts: bytes) -> bytes:
    """The inverse of `fields`."""
    return b"".join(piece for part in parts for piece in (_size(part), part))


def keys_to_bytes(keys: Collection[SignedKey]) -> bytes:
    """Signed keys, as the server relays them."""
    return joined(
        _names([key.client_id for key in keys]),
        b"".join(key.public_key for key in keys),
        b"".join(key.signature for key in keys),
    )


def keys_from_bytes(content: bytes) -> tuple[SignedKey, ...]:
    """Inverse of `keys_to_bytes`. Raises MessageError on anything else."""
    names, public, signatures = fields(content, 3)
    clients = _read_names(names)
    rows = zip(
        clients,
        _rows(public, KEY_BYTES, len(clients)),
        _rows(signatures, _SIGNATURE, len(clients)),
        strict=True,
    )
    return tuple(SignedKey(*row) for row in rows)


def context_to_bytes(context: RoundContext) -> bytes:
    """The context of an attempt."""
    return joined(
        context.run_id.encode(),
        context.plan.encode(),
        context.roster,
        context.model,
        context.kind.encode(),
        json.dumps([context.round_number, context.attempt, context.bits]).encode(),
        _names(context.cohort),
    )


def context_from_bytes(content: bytes) -> RoundContext:
    """Inverse of `context_to_bytes`. Raises MessageError on anything else."""
    run_id, plan, roster, model, kind, numbers, cohort = fields(content, 7)
    round_number, attempt, bits = _whole_numbers(numbers, 3)
    return RoundContext(
        run_id=_text(run_id),
        plan=_text(plan),
        roster=roster,
        model=model,
        kind=_text(kind),
        round_number=round_number,
        attempt=attempt,
        cohort=_read_names(cohort),
        bits=bits,
    )


def upload_to_bytes(upload: MaskedUpdate, sealed: Sequence[str]) -> bytes:
    """One client's upload; its ciphertexts in the order of the members they are `sealed` for."""
    header = upload.header
    return joined(
        header.client_id.encode(),
        header.masked,
        header.shares,
        header.signature,
        upload.masked,
        upload.commitments,
        b"".join(upload.ciphertexts[member] for member in sealed),
    )


def upload_from_bytes(content: bytes, sealed: Sequence[str]) -> MaskedUpdate:
    """Inverse of `upload_to_bytes`. Raises MessageError on anything else."""
    name, masked, shares, signature, vector, commitments, sent = fields(content, 7)
    header = SignedHeader(client_id=_text(name), masked=masked, shares=shares, signature=signature)
    return MaskedUpdate(
        header=header,
        masked=vector,
        commitments=commitments,
        ciphertexts=dict(zip(sealed, _equal(sent, len(sealed)), strict=True)),
    )


def request_to_bytes(request: UnmaskRequest) -> bytes:
    """What one member is asked."""
    headers, sent = request.headers, request.ciphertexts
    return joined(
        request.context,
        _names([header.client_id for header in headers]),
        b"".join(header.masked for header in headers),
        b"".join(header.shares for header in headers),
        b"".join(header.signature for header in headers),
        b"".join(sent[header.client_id] for header in headers) if sent else b"",
    )


def request_from_bytes(content: bytes) -> UnmaskRequest:
    """Inverse of `request_to_bytes`. Raises MessageError on anything else."""
    context, listed, masked, hashed, signatures, sent = fields(content, 6)
    names = _read_names(listed)
    rows = zip(
        names,
        _rows(masked, _HASH, len(names)),
        _rows(hashed, _HASH, len(names)),
        _rows(signatures, _SIGNATURE, len(names)),
        strict=True,
    )
    headers = tuple(
        SignedHeader(client_id=name, masked=vector, shares=shares, signature=signature)
        for name, vector, shares, signature in rows
    )
    ciphertexts = dict(zip(names, _equal(sent, len(names)), strict=True)) if sent else {}
    return UnmaskRequest(context=context, headers=headers, ciphertexts=ciphertexts)


def answer_to_bytes(answer: UnmaskAnswer) -> bytes:
    """What one member tells."""
    return joined(
        answer.context,
        answer.member.encode(),
        _names(answer.unopened),
        answer.own,
        answer.pairs,
        answer.masks,
    )


def answer_from_bytes(content: bytes) -> UnmaskAnswer:
    """Inverse of `answer_to_bytes`. Raises MessageError on anything else."""
    context, member, unopened, own, pairs, masks = fields(content, 6)
    return UnmaskAnswer(
        context=context,
        member=_text(member),
        unopened=_read_names(unopened),
        own=own,
        pairs=pairs,
        masks=masks,
    )


def _size(part: bytes) -> bytes:
    return len(part).to_bytes(_LENGTH, "little")


def _names(names: Sequence[str]) -> bytes:
    return json.dumps(list(names), ensure_ascii=False, separators=(",", ":")).encode()


def _read_names(content: bytes) -> tuple[str, ...]:
    found = _json(content)
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise MessageError("expected a list of names, got something else")
    return tuple(found)


def _whole_numbers(content: bytes, count: int) -> list[int]:
    found = _json(content)
    if not isinstance(found, list) or [type(number) for number in found] != [int] * count:
        raise MessageError(f"expected {count} whole numbers, got something else")
    return found


def _json(content: bytes) -> object:
    try:
        found: object = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise MessageError("expected a field of JSON, got something else") from error
    return found


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise MessageError("expected a text, got other bytes") from error


def _rows(content: bytes, width: int, count: int) -> list[bytes]:
    if len(content) != width * count:
        raise MessageError(f"expected {count} entries of {width} bytes, got {len(content)} bytes")
    return [content[place * width : (place + 1) * width] for place in range(count)]


def _equal(content: bytes, count: int) -> list[bytes]:
    """`content` cut into `count` parts of one length."""
    if len(content) % max(count, 1) or (content and not count):
        raise MessageError(f"expected {count} parts of one length, got {len(content)} bytes")
    return _rows(content, len(content) // max(count, 1), count)
