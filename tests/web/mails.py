"""Mails that the pages are tested with."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360000002"
    "000154a24f5d0000000049454e44ae426082"
)


def mail(
    subject: str = "Hello",
    text: str = "A line.\n",
    *,
    sender: str = "Anna <anna@there.example>",
    to: str = "lin@demo.example",
    html: str | None = None,
    files: tuple[tuple[str, str, bytes], ...] = (),
    message_id: str = "one@there.example",
    answers: str = "",
    **headers: str,
) -> bytes:
    """A mail as other programs write it; `files` are name, media type and content."""
    message = EmailMessage(policy=SMTP)
    message["From"] = sender
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = "Fri, 20 Nov 2026 10:00:00 +0800"
    message["Message-ID"] = f"<{message_id}>"
    if answers:
        message["In-Reply-To"] = message["References"] = f"<{answers}>"
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    if html is not None:
        message.add_alternative(html, subtype="html")
    for name, media_type, content in files:
        kind, _, subkind = media_type.partition("/")
        message.add_attachment(content, kind, subkind, filename=name)
    return message.as_bytes()


def with_picture(html: str, content_id: str = "logo@there.example") -> bytes:
    """A mail whose HTML shows an enclosed picture."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = "anna@there.example", "lin@demo.example", "Picture"
    message["Message-ID"] = "<picture@there.example>"
    message.set_content("text")
    message.add_alternative(html, subtype="html")
    body = message.get_body(("html",))
    assert isinstance(body, EmailMessage)
    body.add_related(PIXEL, "image", "png", cid=f"<{content_id}>", filename="logo.png", disposition="inline")
    return message.as_bytes()
