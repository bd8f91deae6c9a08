"""Headers that every answer carries, set where an answer did not set its own.

Scripts come from our files only, never from a page's text (CSP Level 3); nobody frames our pages.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# The editor shows text in the colours and sizes it was written in: style attributes, no style elements.
COMPOSE_POLICY = PAGE_POLICY.replace("style-src 'self'", "style-src 'self'; style-src-attr 'unsafe-inline'")
# A file of a mail, should a browser ever show it as a page: no origin, no scripts, nothing loaded.
FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
PREVIEW_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"


def frame_policy(allows_remote_images: bool) -> str:
    """The policy of a mail's HTML: styles of its own, our pictures, remote ones when asked for."""
    images = "'self' data: https: http:" if allows_remote_images else "'self' data:"
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src {images}; form-action 'none'; "
        "base-uri 'none'; frame-ancestors 'self'; "
        "sandbox allow-same-origin allow-popups allow-popups-to-escape-sandbox"
    )


DEFAULTS = {
    "content-security-policy": PAGE_POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    # Mail is nobody else's: not kept by caches, nor by the browser after signing out.
    "cache-control": "no-store",
}


class SecurityHeaders:
    """ASGI middleware that adds `DEFAULTS` to every answer that lacks them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and complete its answer's headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in DEFAULTS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_complete)
