"""Compiled templates are kept and read again; whatever lies there or does not, a page is made."""

from __future__ import annotations

from pathlib import Path

from jinja2 import DictLoader, Environment

from postroad.web.shell.compiled import CompiledTemplates


def rendered(place: Path, text: str = "Hello {{ name }}", settings: str = "") -> str:
    environment = Environment(
        loader=DictLoader({"page.html": text}),
        bytecode_cache=CompiledTemplates(settings, place),
        autoescape=True,
    )
    return environment.get_template("page.html").render(name="<Anna>")


def kept(place: Path) -> dict[str, int]:
    return {each.name: each.stat().st_mtime_ns for each in place.iterdir()}


def test_what_was_compiled_is_read_again(tmp_path: Path) -> None:
    place = tmp_path / "kept"
    assert rendered(place) == "Hello &lt;Anna&gt;"
    before = kept(place)
    assert rendered(place) == "Hello &lt;Anna&gt;"
    assert kept(place) == before and len(before) == 1


def test_another_text_or_other_settings_are_compiled_anew(tmp_path: Path) -> None:
    rendered(tmp_path)
    assert rendered(tmp_path, "Good day {{ name }}") == "Good day &lt;Anna&gt;"
    rendered(tmp_path, settings="others")
    assert len(kept(tmp_path)) == 2


def test_damage_is_compiled_over(tmp_path: Path) -> None:
    rendered(tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damaged in (b"", whole[:40], whole[:-20], b"x" * 500):
        file.write_bytes(damaged)
        assert rendered(tmp_path) == "Hello &lt;Anna&gt;"


def test_without_a_place_it_is_compiled_each_time(tmp_path: Path) -> None:
    place = tmp_path / "a file"
    place.write_text("")
    assert rendered(place) == "Hello &lt;Anna&gt;"
