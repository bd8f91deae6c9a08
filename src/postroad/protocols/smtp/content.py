"""The content of a mail on its way in: where DATA ends, dots taken out, line ends judged.

Only CRLF.CRLF ends DATA. A bare LF or CR ends neither a line nor the data, so that no two servers can
disagree about where a mail ends (SMTP smuggling, CVE-2023-51764 and its kin). RFC 5321 2.3.8, 4.1.1.4, 4.5.2.
No work is done line by line: every question is one search over the bytes.
"""

from __future__ import annotations

import enum

from postroad.protocols.smtp.limits import ServerLimits
from postroad.protocols.smtp.replies import SmtpReply

END = b"\r\n.\r\n"
_BEFORE = b"\r\n"
_TAIL = len(END) - 1  # how much of a terminator can lie in the bytes before


class BareLineEnds(enum.Enum):
    """What becomes of a content with a CR or LF that stands alone.

    `REFUSE` answers 550 5.6.11, as Exchange Online does: for strangers, since a bare line end next to a dot
    is how mail is smuggled, and no well-behaved server sends one. `REPAIR` makes each a CRLF after the end
    was found and the dots were taken out by the strict rule, so what is stored and relayed has one reading
    only: for people who signed in, since old programs write bare LF in bodies.
    """

    REFUSE = "refuse"
    REPAIR = "repair"


class Seen:
    """What was seen in a content so far: counted as it comes, for 50 MB at once would hold everybody else."""

    __slots__ = ("_ends_in_cr", "crs", "has_nul", "lfs", "lines")

    def __init__(self) -> None:
        self.lfs = self.crs = self.lines = 0
        self.has_nul = self._ends_in_cr = False

    def add(self, octets: bytes) -> None:
        """Count the next piece."""
        self.lfs += octets.count(b"\n")
        self.crs += octets.count(b"\r")
        self.lines += octets.count(b"\r\n") + (self._ends_in_cr and octets.startswith(b"\n"))
        self.has_nul = self.has_nul or b"\0" in octets
        self._ends_in_cr = octets.endswith(b"\r")

    @property
    def has_bare_line_ends(self) -> bool:
        """Whether a CR or LF stands alone anywhere."""
        return self.lfs != self.lines or self.crs != self.lines


class ContentCollector:
    """Gathers content that comes in pieces, up to a limit; past the limit it only looks for the end.

    One collector a mail. `held` is how many bytes it keeps in memory.
    """

    def __init__(self, limit: int) -> None:
        """`limit` is the most bytes to keep."""
        self._limit = limit
        # The line end of the DATA command itself: a lone dot right behind it ends an empty mail.
        self._held = bytearray(_BEFORE)
        self.seen = Seen()
        self._counted = len(_BEFORE)
        self.overflowed = False

    @property
    def held(self) -> int:
        """Bytes kept in memory now."""
        return len(self._held) - len(_BEFORE)

    def discard(self) -> None:
        """Keep nothing of this mail, past and future."""
        self.overflowed = True
        del self._held[:-_TAIL]

    def append(self, octets: bytes) -> None:
        """Keep counted octets (BDAT)."""
        if not self.overflowed:
            self._held += octets
            if len(self._held) > self._limit:
                self.discard()
            else:
                self._count(len(self._held))

    def append_until_end(self, data: bytes) -> int:
        """Keep lines (DATA) up to the lone dot; return how much of `data` they took with it, or -1 without
        an end.
        """
        held = self._held
        before = len(held)
        held += data
        end = held.find(END, max(0, before - _TAIL))
        if end >= 0:
            del held[end + 2 :]
            if not self.overflowed:
                self._count(end + 2)
            return end + len(END) - before
        if len(held) > self._limit:
            self.discard()
        elif not self.overflowed:
            self._count(len(held) - _TAIL)  # the rest may be of the end
        return -1

    def _count(self, end: int) -> None:
        if end > self._counted:
            self.seen.add(bytes(self._held[self._counted : end]))
            self._counted = end

    def content(self) -> bytes:
        """Return what was gathered; meaningless when `overflowed`."""
        with memoryview(self._held) as held:
            return bytes(held[len(_BEFORE) :])


def unstuff(content: bytes) -> bytes:
    """Take the first dot off each line that begins with one (RFC 5321 4.5.2)."""
    if b"\r\n." in content:
        content = content.replace(b"\r\n.", b"\r\n")
    return content[1:] if content.startswith(b".") else content


def has_bare_line_ends(content: bytes) -> bool:
    """Whether a CR or LF stands alone anywhere."""
    return seen_in(content).has_bare_line_ends


def seen_in(content: bytes) -> Seen:
    """Count what came at once."""
    seen = Seen()
    seen.add(content)
    return seen


def with_crlf(content: bytes) -> bytes:
    """Make every line end CRLF: bare LF, bare CR, and the CR CR LF that converting twice leaves behind."""
    # Plain replacements, since a pattern with a repeated CR would take quadratic time on a flood of them.
    content = content.replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return content.replace(b"\n", b"\r\n")


def judged(content: bytes, seen: Seen, line_ends: BareLineEnds, limits: ServerLimits) -> bytes:
    """Return the content as it may be handed on, whole lines with CRLF; raise `SmtpReply` when it may not be.

    `content` is already unstuffed, which changes nothing of what was `seen` in it.
    """
    if len(content) > limits.message:
        raise too_large(limits)
    if seen.has_bare_line_ends:
        if line_ends is BareLineEnds.REFUSE:
            raise SmtpReply(550, "5.6.11", "The message has bare CR or LF characters; lines must end in CRLF")
        content = with_crlf(content)
        if len(content) > limits.message:
            raise too_large(limits)
    if seen.has_nul:
        # RFC 5321 4.5.2 and 2.3.1: octets beyond text need BINARYMIME, which is not offered. Programs that
        # read up to a NUL would see another mail than those that do not.
        raise SmtpReply(550, "5.6.0", "The message has NUL characters, and BINARYMIME is not offered")
    if content and not content.endswith(b"\r\n"):
        content += b"\r\n"  # BDAT may end within a line; what is stored and relayed has whole lines
    if _has_overlong_header(content, limits.header):
        raise SmtpReply(552, "5.3.4", f"The message header is larger than {limits.header} bytes")
    if _has_overlong_line(content, limits.content_line):
        raise SmtpReply(552, "5.6.0", f"The message has a line of more than {limits.content_line} bytes")
    return content


def too_large(limits: ServerLimits) -> SmtpReply:
    """The refusal of a mail for its size (RFC 1870 6.1)."""
    return SmtpReply(552, "5.3.4", f"The message is larger than {limits.message} bytes")


def _has_overlong_header(content: bytes, limit: int) -> bool:
    if len(content) <= limit or content.startswith(b"\r\n"):
        return False
    return content.find(b"\r\n\r\n", 0, limit) < 0


def _has_overlong_line(content: bytes, limit: int) -> bool:
    # Jump from the last line end within reach to the next: as many searches as the limit fits into the
    # content.
    start = 0
    while len(content) - start > limit:
        line_end = content.rfind(b"\n", start, start + limit)
        if line_end < 0:
            return True
        start = line_end + 1
    return False
