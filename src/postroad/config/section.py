"""What every section of the settings stands on."""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network

from pydantic import BaseModel, ConfigDict

MEBIBYTE = 1024 * 1024
LOOPBACK = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


_HOST_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[^\s:\[\]]*):(?P<port>[0-9]{1,5})\Z")


def is_host_and_port(text: str) -> bool:
    """Whether this is `host:port`; an IPv6 address stands in brackets."""
    found = _HOST_PORT.match(text)
    return found is not None and int(found["port"]) < 65536


class Section(BaseModel):
    """A table of the settings file: unknown keys are refused, so that a typing mistake is seen."""

    model_config = ConfigDict(extra="forbid", frozen=True)
