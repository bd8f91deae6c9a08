"""All demo mails in the order they were written, as bytes, dated back from now."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from postroad.demo.correspondence import LETTERS
from postroad.demo.letter import Letter, Raw, render
from postroad.demo.specials import RAW_MAILS, SPECIAL_LETTERS, invitation


def mails(now: datetime) -> Iterator[tuple[Letter | Raw, bytes]]:
    """All demo mails with their bytes, the oldest first, dated back from `now`."""
    letters = (*LETTERS, *SPECIAL_LETTERS)
    by_key = {letter.key: letter for letter in letters}
    everything: list[Letter | Raw] = [*letters, *RAW_MAILS, invitation(now)]
    for mail in sorted(everything, key=lambda mail: mail.at.moment(now)):
        yield mail, render(mail, now, by_key)
