"""How a webhook proves who calls: headers by the rules of standardwebhooks.com, for which there are
libraries. Pure.

`webhook-signature` has one signature a secret, so that a receiver may change over while both are good.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

from postroad.notifications.receivers import SECRET_PREFIX


def signed_headers(message_id: str, at: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """Return the headers of a call made `at` (seconds since 1970)."""
    signed = f"{message_id}.{at}.".encode() + body
    signatures = [
        "v1,"
        + base64.b64encode(
            hmac.digest(base64.b64decode(secret.removeprefix(SECRET_PREFIX)), signed, hashlib.sha256)
        ).decode()
        for secret in secrets
    ]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(signatures),
    }
