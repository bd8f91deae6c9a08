"""One mail's content on its way through the server engine, by DATA or by BDAT, up to the judgement on it.

Takes from the input what belongs to the content, and nothing behind it. RFC 5321 4.1.1.4, RFC 3030.
"""

from __future__ import annotations

from dataclasses import dataclass

from postroad.protocols.smtp import content
from postroad.protocols.smtp.content import BareLineEnds, ContentCollector
from postroad.protocols.smtp.input_buffer import InputBuffer
from postroad.protocols.smtp.limits import ServerLimits
from postroad.protocols.smtp.replies import SmtpReply


@dataclass(frozen=True, slots=True)
class Chunk:
    """One BDAT: its octets, and whether the mail ends with them."""

    size: int
    is_last: bool


class Intake:
    """The content of one mail. `chunk` is the BDAT being read, None when the content comes by DATA."""

    __slots__ = ("_collector", "_limits", "_raw", "_refusal", "_remaining", "chunk")

    def __init__(self, limits: ServerLimits, chunk: Chunk | None) -> None:
        self._limits = limits
        self.chunk = chunk
        self._remaining = chunk.size if chunk is not None else 0
        self._collector: ContentCollector | None = None  # None until something came that is not the whole
        self._raw: bytes | None = None  # as it came, once it is whole and not too large
        self._refusal: SmtpReply | None = None

    @property
    def held(self) -> int:
        """Bytes kept in memory."""
        return self._collector.held if self._collector is not None else 0

    @property
    def has_begun(self) -> bool:
        """Whether a part of the content has come."""
        return self._collector is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing more of the mail is wanted: its last BDAT was read, or it is refused already."""
        return self.chunk is None or self.chunk.is_last or self._kept().overflowed

    def continue_with(self, chunk: Chunk) -> None:
        """Read one more BDAT."""
        self.chunk = chunk
        self._remaining = chunk.size

    def refuse(self, reply: SmtpReply) -> None:
        """Keep nothing of it; `reply` is the judgement."""
        self._refusal = self._refusal or reply
        self._kept().discard()

    def read_data(self, waiting: InputBuffer) -> bool:
        """Take lines up to the lone dot; return whether it came."""
        data, start = waiting.data, waiting.position
        if start >= len(data):
            return False
        if self._collector is None:
            # Most mails lie in the buffer as a whole: one search, one copy.
            if data.startswith(b".\r\n", start):
                waiting.position = start + 3
                self._raw = b""
                return True
            end = data.find(content.END, start)
            if end >= 0:
                waiting.position = end + len(content.END)
                self._raw = data[start : end + 2]
                return True
        collector = self._kept()
        consumed = collector.append_until_end(data[start:] if start else data)
        if consumed < 0:
            waiting.clear()
            return False
        waiting.position = start + consumed
        self._raw = None if collector.overflowed else collector.content()
        return True

    def read_chunk(self, waiting: InputBuffer) -> bool:
        """Take the octets of the BDAT; return whether all of them came."""
        collector = self._kept()
        taken = waiting.take(self._remaining)
        collector.append(taken)
        self._remaining -= len(taken)
        if self._remaining:
            return False
        if self.is_over and not collector.overflowed:
            self._raw = collector.content()
        return True

    def judged(self, line_ends: BareLineEnds) -> bytes | SmtpReply:
        """Return the content as it may be handed on, or the reply that refuses it."""
        if self._refusal is not None:
            return self._refusal
        if self._raw is None:
            return content.too_large(self._limits)
        raw = content.unstuff(self._raw) if self.chunk is None else self._raw
        seen = self._collector.seen if self._collector is not None else content.seen_in(self._raw)
        try:
            return content.judged(raw, seen, line_ends, self._limits)
        except SmtpReply as reply:
            return reply

    def _kept(self) -> ContentCollector:
        if self._collector is None:
            # Stuffed dots may make the wire form up to a third longer than the mail.
            stuffing = self._limits.message // 3 + len(content.END) if self.chunk is None else 0
            self._collector = ContentCollector(self._limits.message + stuffing)
        return self._collector
