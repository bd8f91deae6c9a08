"""What every section of the settings stands on."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

from pydantic import BaseModel, ConfigDict

MEBIBYTE = 1024 * 1024
LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


class Section(BaseModel):
    """A table of the settings file: unknown keys are refused, so that a typing mistake is seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)
