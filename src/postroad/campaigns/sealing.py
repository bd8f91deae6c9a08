"""Small sealed values: what a link or an envelope sender of ours carries, unreadable and unforgeable. Pure.

Deterministic authenticated encryption in the manner of SIV (RFC 5297), on keyed BLAKE2b (RFC 7693): the tag
is a MAC of the plain value and the seed of the stream that hides it. Two hashes a value, 3 µs, against the
300 µs of a mail's signature; the same value always seals to the same bytes, so a mail that is rendered again
is the same mail.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from hashlib import blake2b, sha256

MIN_KEY = 16  # bytes
MAX_VALUE = 64 * 32  # bytes: 32 blocks of the stream


class Seal:
    """Seals under one key, and opens what this key or an older one sealed.

    A sealed value begins with a byte that says under which key: after a rotation, `older` keys keep the links
    of mails that were sent before alive. `purpose` parts values that must never be taken for one another.
    """

    def __init__(self, key: bytes, purpose: str, *, tag_bytes: int, older: Sequence[bytes] = ()) -> None:
        self._rings = [_Ring(each, purpose, tag_bytes) for each in (key, *older)]

    def seal(self, value: bytes) -> bytes:
        """Return `value`, sealed. Raises `ValueError` for one of more than `MAX_VALUE` bytes."""
        if len(value) > MAX_VALUE:
            raise ValueError("too long to be sealed")
        return self._rings[0].seal(value)

    def open(self, sealed: bytes) -> bytes | None:
        """Return what was sealed; None for whatever we did not seal."""
        for ring in self._rings:
            if sealed[:1] == ring.mark and (value := ring.open(sealed)) is not None:
                return value
        return None


class _Ring:
    def __init__(self, key: bytes, purpose: str, tag_bytes: int) -> None:
        if len(key) < MIN_KEY:
            raise ValueError(f"a key of at least {MIN_KEY} bytes is needed")
        root = sha256(b"postroad seal\0" + purpose.encode() + b"\0" + key).digest()
        self.mark = sha256(b"mark" + root).digest()[:1]
        # Keyed once and copied: the key is a block of its own, as much work as the value.
        self._tagging = blake2b(key=sha256(b"tag" + root).digest(), digest_size=tag_bytes)
        self._streaming = blake2b(key=sha256(b"stream" + root).digest())
        self._tag_bytes = tag_bytes

    def seal(self, value: bytes) -> bytes:
        tag = self._tag(value)
        return self.mark + tag + self._crossed(tag, value)

    def open(self, sealed: bytes) -> bytes | None:
        head = 1 + self._tag_bytes
        if not head <= len(sealed) <= head + MAX_VALUE:
            return None
        tag = sealed[1:head]
        value = self._crossed(tag, sealed[head:])
        return value if hmac.compare_digest(self._tag(value), tag) else None

    def _tag(self, value: bytes) -> bytes:
        tagging = self._tagging.copy()
        tagging.update(value)
        return tagging.digest()

    def _crossed(self, tag: bytes, value: bytes) -> bytes:
        """`value` under the stream that the tag begins; the same function takes it off again."""
        size = len(value)
        if size <= 64:  # all but links with a target of their own
            stream = self._block(tag, 0)[:size]
        else:
            stream = b"".join(self._block(tag, at) for at in range((size + 63) // 64))[:size]
        return (int.from_bytes(value, "big") ^ int.from_bytes(stream, "big")).to_bytes(size, "big")

    def _block(self, tag: bytes, at: int) -> bytes:
        streaming = self._streaming.copy()
        streaming.update(bytes([at]) + tag)
        return streaming.digest()


def packed(*numbers: int) -> bytes:
    """Numbers from 0 up, each as a byte that says how many bytes follow. Raises `ValueError` for others."""
    out = bytearray()
    for number in numbers:
        if not 0 <= number < 2**63:
            raise ValueError(f"{number} is no id")
        size = (number.bit_length() + 7) // 8
        out.append(size)
        out += number.to_bytes(size, "big")
    return bytes(out)


def unpacked(data: bytes, count: int) -> tuple[list[int], bytes] | None:
    """`count` numbers and what stands behind them; None when there are not so many."""
    numbers: list[int] = []
    at = 0
    for _ in range(count):
        end = at + 1 + data[at] if at < len(data) else len(data) + 1
        if end > len(data):
            return None
        numbers.append(int.from_bytes(data[at + 1 : end], "big"))
        at = end
    return numbers, data[at:]
