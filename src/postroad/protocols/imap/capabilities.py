"""What is announced, and when: nothing that is not so. RFC 9051 6.1.1; docs/standards.md has the list."""

from __future__ import annotations

# RFC 3501 (IMAP4rev1), RFC 2177 (IDLE), RFC 2342 (NAMESPACE), RFC 3348 (CHILDREN) and RFC 3691 (UNSELECT)
# live on in RFC 9051 and are announced for clients of their time. RFC 6855 (UTF8), RFC 7889 (APPENDLIMIT).

BEFORE_SIGN_IN = (
    "IMAP4rev1", "IMAP4rev2", "LITERAL+", "SASL-IR", "ID", "ENABLE", "IDLE", "UTF8=ACCEPT", "APPENDLIMIT",
)  # fmt: skip
ALWAYS = (
    "IMAP4rev1", "IMAP4rev2", "LITERAL+", "SASL-IR", "ID", "ENABLE", "IDLE", "NAMESPACE", "CHILDREN",
    "LIST-EXTENDED", "LIST-STATUS", "SPECIAL-USE", "UIDPLUS", "MOVE", "UNSELECT", "MULTIAPPEND", "BINARY",
    "ESEARCH", "SEARCHRES", "SORT", "ESORT", "THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES", "WITHIN",
    "CONDSTORE", "QRESYNC", "QUOTA", "QUOTA=RES-STORAGE", "STATUS=SIZE", "OBJECTID", "PREVIEW", "SAVEDATE",
    "COMPRESS=DEFLATE", "UTF8=ACCEPT", "PARTIAL", "UIDONLY", "REPLACE", "APPENDLIMIT",
)  # fmt: skip


def capabilities(
    *, is_signed_in: bool, offers_starttls: bool, takes_passwords: bool, append_limit: int
) -> list[str]:
    """The words of CAPABILITY."""
    words = [
        f"APPENDLIMIT={append_limit}" if word == "APPENDLIMIT" else word
        for word in (ALWAYS if is_signed_in else BEFORE_SIGN_IN)
    ]
    if not is_signed_in:
        if offers_starttls:
            words.append("STARTTLS")
        words.append("AUTH=PLAIN" if takes_passwords else "LOGINDISABLED")
    return words
