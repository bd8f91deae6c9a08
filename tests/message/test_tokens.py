"""Search tokens: what was indexed can be asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.message.tokens import (
    MAX_QUERY_TERMS,
    MAX_TOKEN,
    MAX_TOKENS,
    QueryTerm,
    normalise,
    query_terms,
    search_tokens,
)


def finds(query: str, document: str) -> bool:
    """What the store's search does with the terms."""
    tokens = set(search_tokens(document))

    def fits(term: QueryTerm) -> bool:
        *whole, last = term.tokens
        ends = any(token.startswith(last) for token in tokens) if term.is_prefix else last in tokens
        return tokens.issuperset(whole) and ends

    terms = query_terms(query)
    return bool(terms) and all(fits(term) is not term.is_excluded for term in terms)


@pytest.mark.parametrize(
    ("query", "document", "found"),
    [
        ("会议", "明天上午十点召开项目会议", True),
        ("项目会议", "明天上午十点召开项目会议", True),
        ("议", "明天上午十点召开项目会议", True),
        ("会义", "明天上午十点召开项目会议", False),
        ("invoice", "Your INVOICES are here", True),
        ("voice", "Your INVOICES are here", False),
        ("cafe", "Le Café", True),
        ("CAFÉ", "le cafe", True),
        ("２０２４", "发票2024", True),
        ("发票2024", "发票2024年", True),
        ("ｱｲｳ", "アイウ", True),
        ("が", "彼が", True),
        ("안녕", "안녕하세요", True),
        ("москв", "МОСКВА", True),
        ("li@example.com", "From: Li <li@example.com>", True),
        ("example.com", "From: Li <li@example.com>", True),
        ("li", "From: <li@example.com>", True),
        ("li@example", "From: <li@example.com>", True),
        ("会议纪要.pdf", "附件 会议纪要.pdf", True),
        ('"project plan"', "the plan of the project", True),
        ('"project plan"', "the plan", False),
        ("plan -draft", "the plan", True),
        ("plan -draft", "the plan, a draft", False),
        ("straße", "STRASSE", True),
        ("report_2024", "see report_2024.xlsx", True),
        ("!!", "!!", False),
    ],
)
def test_searching(query: str, document: str, found: bool) -> None:
    assert finds(query, document) is found


@given(st.text(max_size=60))
def test_every_text_is_found_by_itself(text: str) -> None:
    text = text.replace('"', " ").replace("-", " ")
    if not query_terms(text[:200]):
        return
    for piece in text.split()[:MAX_QUERY_TERMS]:
        if query_terms(piece):
            assert finds(piece, text)


@given(st.text(max_size=200))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert search_tokens(normalise(text)) == search_tokens(text) or normalise(normalise(text)) != normalise(
        text
    )


@given(st.text(max_size=300))
def test_tokens_are_storable(text: str) -> None:
    for token in search_tokens(text):
        assert token
        assert token == token.strip()
        assert "\0" not in token
        assert "'" not in token


def test_documents_and_queries_are_bounded() -> None:
    assert len(search_tokens(" ".join(f"word{n}" for n in range(50_000)))) == MAX_TOKENS
    assert max(map(len, search_tokens("x" * 10_000))) == MAX_TOKEN
    assert len(search_tokens("".join(map(chr, range(0x4E00, 0x9FFF))))) == MAX_TOKENS
    assert len(query_terms("a b " * 1000)) == MAX_QUERY_TERMS
    search_tokens("a@" * 100_000)
    search_tokens("a." * 100_000 + "@")
    query_terms('"' * 5000)
