"""Envelope senders that name a recipient: through any case, for nobody but us to make."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from postroad.campaigns.results.verp import Verp
from postroad.message.address import MAX_LOCAL_PART, Address

VERP = Verp(b"k" * 32)
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


@given(st.integers(0, 2**63 - 1), st.randoms())
def test_an_address_comes_back_in_any_case(email_id: int, random: object) -> None:
    address = VERP.address(email_id, "news.example.com")
    assert len(address.local_part.encode()) <= MAX_LOCAL_PART
    assert Address.parse(str(address)) == address
    mixed = "".join(getattr(random, "choice")([each, each.upper()]) for each in address.local_part)  # noqa: B009
    for form in (address.local_part, address.local_part.upper(), mixed):
        assert VERP.read(form) == email_id


@given(st.one_of(st.text(max_size=64), st.text(LETTERS, min_size=16, max_size=62).map("b-".__add__)))
def test_what_we_did_not_make_is_nobody(local_part: str) -> None:
    assert VERP.read(local_part) is None


@given(st.integers(1, 2**40), st.data())
def test_one_other_letter_makes_it_nobody(email_id: int, data: st.DataObject) -> None:
    local = VERP.address(email_id, "example.com").local_part
    at = data.draw(st.integers(2, len(local) - 1))
    letter = data.draw(st.sampled_from([each for each in LETTERS if each != local[at]]))
    assert VERP.read(local[:at] + letter + local[at + 1 :]) is None


def test_an_older_key_still_reads() -> None:
    local = VERP.address(77, "example.com").local_part
    assert Verp(b"n" * 32, older=[b"k" * 32]).read(local) == 77
    assert Verp(b"n" * 32).read(local) is None
