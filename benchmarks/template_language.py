"""Which template library renders campaigns: Jinja2's immutable sandbox or minijinja?

Asks three things: how fast a 4 KB text with five variables and one condition is rendered, what it costs to
compile it, and how long templates run that never want to end. `--quick` renders fewer.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable

import minijinja
from jinja2.sandbox import ImmutableSandboxedEnvironment

PARAGRAPH = "<p style='margin:0'>Dear reader, this paragraph is what most of a newsletter is made of.</p>\n"
TEXT = (
    "<h1>Hello {{ name|default('reader') }}</h1>"
    + PARAGRAPH * 40
    + "{% if var1 %}<p>{{ var1 }} and {{ var2|upper }}</p>{% endif %}<p>{{ address }} {{ var3 }}</p>"
)
VALUES = {"name": "林晓", "address": "lin@example.com", "var1": "<b>1</b>", "var2": "two", "var3": "three"}
ENDLESS = {
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{{ b }}{% endfor %}{% endfor %}",
    "doubling text": "{% set ns = namespace(x='aaaaaaaa') %}{% for a in range(26) %}"
    "{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x|length }}",
    "exponent": "{{ 9 ** 9 ** 7 }}",
}


def seconds(work: Callable[[], object], times: int) -> float:
    """Return the seconds that one call takes."""
    begun = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - begun) / times


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    times = 3000 if options.quick else 30000
    jinja = ImmutableSandboxedEnvironment(autoescape=True)
    compiled = jinja.from_string(TEXT)
    mini = minijinja.Environment(templates={"mail.html": TEXT}, fuel=100_000)
    figures = {
        "jinja2 renders/s": 1 / seconds(lambda: compiled.render(VALUES), times),
        "minijinja renders/s": 1 / seconds(lambda: mini.render_template("mail.html", **VALUES), times),
        "jinja2 compile ms": 1000 * seconds(lambda: jinja.from_string(TEXT), 50),
        "minijinja compile ms": 1000
        * seconds(lambda: minijinja.Environment(templates={"mail.html": TEXT}), 50),
    }
    for name, source in ENDLESS.items():
        begun = time.perf_counter()
        try:
            minijinja.Environment(templates={"bad.html": source}, fuel=100_000).render_template("bad.html")
            outcome = "ended"
        except minijinja.TemplateError as error:
            outcome = str(error.kind)
        figures[f"minijinja {name} ms"] = 1000 * (time.perf_counter() - begun)
        print(f"minijinja, {name}: {outcome}")
    figures["peak memory MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    for name, figure in figures.items():
        print(f"{name:32} {figure:12.2f}")
    if options.json:
        ratio = figures["minijinja renders/s"] / figures["jinja2 renders/s"]
        ratios = {"minijinja to jinja2, renders": {"value": ratio, "goal": 1.0}}
        print(json.dumps({"name": "template_language", "ratios": ratios, "figures": figures}))


if __name__ == "__main__":
    main()
