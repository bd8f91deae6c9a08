"""Where the bundled scripts and styles are: names with a hash in them, so browsers keep them for ever.

Written by `scripts/build-frontend`; nothing here builds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

STATIC = Path(__file__).parent.parent / "static"
BUNDLE = STATIC / "dist"


class FrontEndMissing(Exception):
    """The bundle was not built; the message says what to run."""

    def __init__(self) -> None:
        super().__init__(
            "the pages' scripts and styles are not built: run `make setup` or scripts/build-frontend"
        )


@dataclass(frozen=True, slots=True)
class Assets:
    """Addresses of the bundle's files under `/mail/static`."""

    files: dict[str, str]
    imports: dict[str, tuple[str, ...]]
    version: str  # of the files that are not bundled

    @classmethod
    def load(cls, bundle: Path = BUNDLE) -> Assets:
        """Read the manifest. Without one every look-up raises `FrontEndMissing`."""
        icon = STATIC / "icon.svg"
        version = sha256(icon.read_bytes()).hexdigest()[:8]
        try:
            manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls({}, {}, version)
        return cls(
            {name: f"/mail/static/dist/{about['file']}" for name, about in manifest.items()},
            {
                name: tuple(f"/mail/static/dist/{file}" for file in about["imports"])
                for name, about in manifest.items()
            },
            version,
        )

    def url(self, name: str) -> str:
        """The address of a bundled file by its source's name (`mail.js`). Raises `FrontEndMissing`."""
        try:
            return self.files[name]
        except KeyError as error:
            raise FrontEndMissing from error

    def modules(self, name: str) -> tuple[str, ...]:
        """The modules that `name` imports, to be fetched at the same time."""
        return self.imports.get(name, ())

    def static(self, name: str) -> str:
        """The address of a file that is served as it is."""
        return f"/mail/static/{name}?v={self.version}"
