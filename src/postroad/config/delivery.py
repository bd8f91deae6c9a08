"""`[delivery]`: How mail leaves."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from postroad.config.section import Section, is_host_and_port


class Delivery(Section):
    """How mail leaves."""

    relay: str = ""  # smart host "host:port"; empty = MX
    relay_username: str = ""
    relay_password: str = Field("", repr=False)
    relay_tls: Literal["auto", "verified", "required", "off"] = "auto"  # auto: verified with a password
    relay_ca: Path | None = None  # PEM file of the authorities to verify with; none = the system's
    mx_port: int = 25
    resolver: str = ""  # "address:port"; empty = the system's
    max_connections_per_destination: int = Field(10, gt=0)
    max_messages_per_connection: int = Field(1000, gt=0)
    max_concurrent: int = Field(200, gt=0)  # connections a worker
    receiver_rules: bool = True  # built-in [[shaping]] rules for large receivers
    lease_seconds: int = Field(600, gt=0)
    lifetime_seconds: int = Field(5 * 86400, gt=0)  # RFC 5321 4.5.4.1: 4 to 5 days
    delay_notice_seconds: int = Field(4 * 3600, gt=0)
    tls: Literal["opportunistic", "off"] = "opportunistic"

    @field_validator("relay")
    @classmethod
    def _is_host(cls, text: str) -> str:
        if text and not is_host_and_port(text) and (":" in text.strip("[]") or not text.split()):
            raise ValueError(f'{text!r} is no host: write "smtp.example.com:587"')
        return text

    @field_validator("resolver")
    @classmethod
    def _is_address_and_port(cls, text: str) -> str:
        address, _, port = text.rpartition(":")
        try:
            if text and not 0 < int(port) < 65536:
                raise ValueError
            if text:
                ip_address(address.strip("[]"))
        except ValueError:
            raise ValueError('must be an address and a port, such as "127.0.0.1:53"') from None
        return text
