"""Rendering: the Jinja environment, and one method a kind of page that gives templates everything they read.

Templates escape by default; markup that is not escaped was made by `frame.py` or `text_body.py`, and says so
by its type.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from postroad.web.shell.assets import Assets
from postroad.web.shell.compiled import CompiledTemplates
from postroad.web.shell.languages import Dates, template_functions
from postroad.web.shell.words import Vocabulary

TEMPLATES = Path(__file__).parent.parent / "templates"


class Pages:
    """Turns a template's name and values into HTML, for one area with the words that its templates read."""

    def __init__(self, assets: Assets, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            bytecode_cache=CompiledTemplates(Path(__file__).read_text()),
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(asset=assets.url, modules=assets.modules, static=assets.static)

    def load(self) -> None:
        """Compile all templates, or read them compiled: the first visitors' neighbours would wait for it."""
        for name in self._environment.list_templates():
            self._environment.get_template(name)

    def render(self, template: str, dates: Dates, values: Mapping[str, object]) -> str:
        """Render `template` for a visitor. Raises `FrontEndMissing` when the bundle is not built."""
        language = dates.language
        words = {**template_functions(dates), **self._vocabulary(language)}
        return self._environment.get_template(template).render({**words, **values})
