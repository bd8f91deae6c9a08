"""`[tls]`: The certificate."""

from __future__ import annotations

from pathlib import Path

from postroad.config.section import Section


class Tls(Section):
    """The certificate shown at every door; without one a self-signed one is made in `data_dir/tls`."""

    certificate: Path | None = None
    private_key: Path | None = None
