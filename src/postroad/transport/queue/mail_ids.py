"""The id of a mail as people and other servers see it: in Received, in the 250, in `queue show`."""

from __future__ import annotations


def mail_id_text(mail_id: int) -> str:
    """Write an id."""
    return f"{mail_id:X}"


def mail_id_of(text: str) -> int:
    """Read what `mail_id_text` wrote. Raises `ValueError`."""
    return int(text, 16)
