"""`[listen]`: Where each door opens."""

from __future__ import annotations

from pydantic import field_validator

from postroad.config.section import Section, is_host_and_port


class Listen(Section):
    """Where each door opens: `"host:port"`, `""` for off."""

    smtp: str = "127.0.0.1:2525"
    submission: str = "127.0.0.1:2587"
    submissions: str = "127.0.0.1:2465"
    imap: str = "127.0.0.1:2143"
    imaps: str = "127.0.0.1:2993"
    pop3: str = "127.0.0.1:2110"
    pop3s: str = "127.0.0.1:2995"
    http: str = "127.0.0.1:8025"
    https: str = "127.0.0.1:8443"
    ctrl: str = "127.0.0.1:6017"
    ctrls: str = "127.0.0.1:6018"

    @field_validator("*")
    @classmethod
    def _is_address(cls, text: str) -> str:
        if text and not is_host_and_port(text):
            raise ValueError(
                f'{text!r} is no address: write "0.0.0.0:25" (every IPv4 address), "[::]:25" (IPv6), '
                '"*:25" (both), "127.0.0.1:25" (this machine only) or "" (shut)'
            )
        return text
