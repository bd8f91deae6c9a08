"""What the store refuses, and why. Each error's text can be shown to whoever asked.

An outage of the database is not here: `db.DatabaseUnavailable` passes through every method of the store.
"""

from __future__ import annotations


class MailStoreError(Exception):
    """Anything the store refuses."""


class NoSuchFolder(MailStoreError):
    """The account has no such folder (any more)."""


class NoSuchMessage(MailStoreError):
    """There is no such mail (any more)."""


class BadFolderName(MailStoreError):
    """The name cannot be a folder's; the text says what is wrong with it."""


class FolderExists(MailStoreError):
    """The account has a folder of that name already."""


class FolderProtected(MailStoreError):
    """The folder has a role and stays (INBOX, Sent, …)."""


class TooManyFolders(MailStoreError):
    """The account holds as many folders as it may."""


class BadKeyword(MailStoreError):
    """A keyword that is no keyword, or one more than the folder may have."""


class BadQuery(MailStoreError):
    """A search that cannot be understood; the text says which part."""


class TooMuchAsked(MailStoreError):
    """A search that would take too long; the text says what to leave out."""


class QuotaExceeded(MailStoreError):
    """The account has no room for it."""


class BlobMissing(MailStoreError):
    """The blob store has no such blob: `verify` names the mail it belonged to."""


class BlobsUnavailable(MailStoreError):
    """The blob store cannot be reached or written now; trying later may help."""


class BlobsFull(BlobsUnavailable):
    """The blob store's disk is full, or its quota is used up."""
