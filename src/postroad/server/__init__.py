"""Composition root: builds the parts, starts and drains them. The only room that knows every other."""

from __future__ import annotations

from postroad.server.supervisor import serve

__all__ = ["serve"]
