"""Words that templates cannot hold: what scripts of every page say, and the marks that find such words.

An area's own words stand in its own `words.py`, and reach its templates through the `Vocabulary` it gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from postroad.web.shell.languages import Language

# The message ids, listed so that the catalogue's extraction and its test see them: N_ marks, nothing more.


def N_(message: str) -> str:
    """Mark a message for translation where it is only named."""
    return message


def NN_(one: str, many: str) -> tuple[str, str]:
    """Mark a message with a number for translation where it is only named."""
    return one, many


# What an area's templates read beside a page's own values, in one language.
Vocabulary = Callable[[Language], Mapping[str, object]]

SCRIPT_STRINGS = {
    "offline": N_("The server cannot be reached. Nothing was lost; please try again."),
    "signed-out": N_("You are signed out. Sign in again in another tab, then try again here."),
    "failed": N_("That did not work. Please try again."),
    "away": N_("The mail store is away for a moment. Please try again."),
}


def script_strings(language: Language, strings: Mapping[str, str] = SCRIPT_STRINGS) -> dict[str, str]:
    """What scripts say, in `language`."""
    return {key: language.say(message) for key, message in strings.items()}
