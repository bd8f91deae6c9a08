"""What reading one mail may cost: taken before each costly step, so that no arrangement of bytes costs more.

Every step that a stranger can order in numbers has its count here. What is left undone when a budget is spent
is shown as it came; nothing is refused for it. Pure counters: no clock, so the same mail always reads alike.
"""

from __future__ import annotations

MAX_WORDS = 5_000  # encoded words; a mail to 1,000 people with Chinese names has 1,000 to 2,000
MAX_GUESSES = 1  # of a body's charset by the frequency of letters, about 5 ms each
MAX_CHARACTERS = 500_000  # of all its texts that one page shows; Gmail clips at 102 KB
MAX_LINKS = 2_000  # made of addresses in them; a mail with more is a list nobody clicks through
MAX_LINES = 20_000  # of them; a page of more takes a browser seconds to lay out


class Budget:
    """What is left for one reading of one mail. Each `take_…` says how much may be used."""

    __slots__ = ("characters", "guesses", "lines", "links", "words")

    def __init__(self) -> None:
        self.words = MAX_WORDS
        self.guesses = MAX_GUESSES
        self.characters = MAX_CHARACTERS
        self.lines = MAX_LINES
        self.links = MAX_LINKS

    def take_word(self) -> bool:
        """Whether one more encoded word may be decoded."""
        self.words -= 1
        return self.words >= 0

    def take_guess(self) -> bool:
        """Whether one more charset may be guessed from statistics."""
        self.guesses -= 1
        return self.guesses >= 0
