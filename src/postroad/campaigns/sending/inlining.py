"""Style sheets of a template written into its elements, once a version: many readers' programs drop
`<style>`. Pure.

The HTML is parsed and written anew for that, so template code is put out of the way first: a parser would
move `{% for %}` out of a table and write `>` as `&gt;`. Whatever does not come back whole leaves the
template as it was, and so does code in a tag outside the quotes of an attribute: the parser would put
quotes around it.
"""

from __future__ import annotations

import re

import css_inline

from postroad.campaigns.errors import BadTemplate
from postroad.campaigns.templates.language import compile_template

_STYLE = re.compile(r"<style[\s>]", re.IGNORECASE)
_CODE_TEXT = r"\{%[-+]?\s*raw\s*[-+]?%\}.*?\{%[-+]?\s*endraw\s*[-+]?%\}|\{##.*?##\}|\{\{.*?\}\}|\{%.*?%\}"
_CODE = re.compile(_CODE_TEXT, re.DOTALL)
# Code between tags may hold `<`, and a tag's quotes may hold code: whatever begins first.
_PIECE = re.compile(rf"(?P<code>{_CODE_TEXT})|<[A-Za-z/](?:[^<>\"']|\"[^\"]*\"|'[^']*')*>", re.DOTALL)
_QUOTED = re.compile("\"[^\"]*\"|'[^']*'")
_STAND_IN = re.compile(r"<!--postroad-(\d+)-->|postroad-code-(\d+)-x(?:=\"\")?")

# No style sheet is fetched, from the net or from a disk; `@media` and its like stay for those who read them.
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)


def inlined(html: str) -> str:
    """Return the template with its style sheets inlined; as it is when there are none, or it cannot be
    done.
    """
    if not _STYLE.search(html) or "postroad-" in html:
        return html
    codes: list[str] = []

    def put_away(match: re.Match[str], *, in_tag: bool) -> str:
        codes.append(match[0])
        number = len(codes) - 1
        # Inside a tag only a name can stand; between tags a comment may, even where a table takes no text.
        is_text = match[0].startswith("{{")
        return f"postroad-code-{number}-x" if in_tag or is_text else f"<!--postroad-{number}-->"

    pieces, done = [], 0
    for piece in _PIECE.finditer(html):
        pieces.append(html[done : piece.start()])
        done = piece.end()
        if piece["code"] is not None:
            pieces.append(put_away(piece, in_tag=False))
        elif _CODE.search(_QUOTED.sub("", piece[0])):
            return html
        else:
            pieces.append(_CODE.sub(lambda match: put_away(match, in_tag=True), piece[0]))
    pieces.append(html[done:])
    try:
        written = _INLINER.inline("".join(pieces))
    except ValueError:  # css_inline.InlineError is one
        return html
    seen: list[int] = []

    def put_back(match: re.Match[str]) -> str:
        seen.append(int(match[1] or match[2]))
        return codes[seen[-1]]

    whole = _STAND_IN.sub(put_back, written)
    if sorted(seen) != list(range(len(codes))) or seen != sorted(seen):
        return html
    try:
        compile_template(whole, "html")
    except BadTemplate:
        return html
    return whole
