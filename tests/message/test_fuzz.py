"""A thousand damaged mails through everything that reads mails: nothing crashes, all stays in bounds."""

from __future__ import annotations

import pytest

from postroad.message.sanitise import sanitise_html
from postroad.message.scan import MAX_DEPTH, MAX_PARTS, decode_structure, encode_structure, scan, walk
from postroad.message.summary import PREVIEW_LENGTH, summarise
from postroad.message.text import attachment_names, decoded, html_body, readable_text
from postroad.message.tokens import MAX_TOKENS, search_tokens
from tests.message.mails import header_flood, mutations

LIMIT = 20_000


def read_everything(content: bytes) -> None:
    """Do what delivery, indexing and the webmail do with a mail."""
    summary = summarise(content)
    root = summary.structure
    assert root == scan(content)
    assert decode_structure(encode_structure(root)) == root
    parts = list(walk(root))
    assert len(parts) <= MAX_PARTS
    assert all(section.count(".") <= MAX_DEPTH * 2 for section, _ in parts)
    assert len(summary.preview) <= PREVIEW_LENGTH
    for _, part in parts:
        assert len(decoded(content, part)) <= len(content)
    text = readable_text(content, root, LIMIT)
    assert len(text) <= LIMIT
    html = html_body(content, root)
    if html is not None:
        sanitised = sanitise_html(html, allow_remote=True, cid_url=lambda cid: None)
        assert "<script" not in sanitised.html.lower()
        assert "\0" not in sanitised.html
    tokens = search_tokens("\n".join([summary.subject, text, *attachment_names(root)]))
    assert len(tokens) <= MAX_TOKENS
    for stored in (summary.subject, summary.preview, text, *tokens):
        stored.encode("utf-8")
        assert "\0" not in stored


@pytest.mark.parametrize("batch", range(10))
def test_a_thousand_damaged_mails(batch: int) -> None:
    for name, content in mutations(100, seed=1_000 + batch):
        try:
            read_everything(content)
        except Exception as error:
            raise AssertionError(f"a damaged {name}: {content[:3000]!r}") from error


def test_a_hundred_thousand_headers() -> None:
    read_everything(header_flood())
