"""Passwords: how they are prepared, judged, and hashed off the event loop.

Preparation by RFC 8265 4.2 (OpaqueString), policy after NIST SP 800-63B 3.1.1 (length, no composition rules),
Argon2id by RFC 9106. Nothing here touches the database; nothing here may log what it is given.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import unicodedata
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from postroad.directory.errors import WeakPassword
from postroad.directory.names import split_key

MIN_LENGTH = 8  # NIST SP 800-63B 3.1.1.2
MAX_BYTES = 1024  # far over any password manager; keeps the hash's input bounded
# OWASP's second choice for Argon2id; 20 ms and 19 MiB a check, measured.
TIME_COST = 2
MEMORY_COST_KIBIBYTES = 19 * 1024
PARALLELISM = 1
MAX_WAITING = 256  # checks in line; at 20 ms each on one core the last waits 5 s, a client's patience

_MD5 = re.compile(r"[0-9A-Fa-f]{32}\Z")

_Result = TypeVar("_Result")

# What judges a new password for a name; raises `WeakPassword`.
Policy: TypeAlias = Callable[[str, str], None]


class TooBusyToHash(Exception):
    """More checks are in line than can be answered in time: a temporary refusal."""


def prepare(password: str) -> str:
    """Return the form in which passwords are compared: spaces made plain, NFC (RFC 8265 4.2.1)."""
    if password.isascii():
        return password
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in password)
    return unicodedata.normalize("NFC", spaced)


def md5_of(password: str) -> str:
    """Return the MD5 of a password (UTF-8) in lower-case hex: what OA systems send instead of it."""
    return hashlib.md5(prepare(password).encode(), usedforsecurity=False).hexdigest()


def is_md5(text: str) -> bool:
    """Whether `text` could be the MD5 of something: 32 hex digits of either case."""
    return _MD5.match(text) is not None


def is_acceptable_input(password: str) -> bool:
    """Whether a password offered at a door is worth a look: not empty, bounded, encodable."""
    try:
        return 0 < len(password.encode()) <= MAX_BYTES
    except UnicodeEncodeError:
        return False


def check_usable(password: str, _address_key: str) -> None:
    """Raise `WeakPassword` when `password` could not be typed, or is none.

    For interfaces whose programs choose the passwords and answer for them: they know no stricter rule.
    """
    if not is_acceptable_input(password):
        raise WeakPassword("length", f"the password must be {MIN_LENGTH} to {MAX_BYTES} bytes long")
    if any(unicodedata.category(character) == "Cc" for character in prepare(password)):
        raise WeakPassword("control", "the password holds a control character")


def check_policy(password: str, address_key: str) -> None:
    """Raise `WeakPassword` when `password` may not protect the account at `address_key`."""
    check_usable(password, address_key)
    prepared = prepare(password)
    if len(prepared) < MIN_LENGTH:
        raise WeakPassword("length", f"the password must have at least {MIN_LENGTH} characters")
    folded = prepared.casefold()
    local_part, domain = split_key(address_key)
    if folded in (address_key, local_part, domain):
        raise WeakPassword("address", "the password must not be the address or a part of it")
    if len(set(folded)) < 3:
        raise WeakPassword("repeated", "the password repeats one or two characters")


class PasswordHashing:
    """Argon2id in threads: as many at once as there are cores, a bounded line before them.

    The hash releases the interpreter's lock, so the loop keeps serving meanwhile. `close` ends the threads.
    """

    def __init__(self, threads: int | None = None) -> None:
        count = threads if threads is not None else min(4, os.cpu_count() or 1)
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="password")
        self._slots = asyncio.Semaphore(count)
        self._waiting = 0
        self._hasher = PasswordHasher(
            time_cost=TIME_COST, memory_cost=MEMORY_COST_KIBIBYTES, parallelism=PARALLELISM
        )
        # Fits no password, and costs what a real one costs.
        self._nobody = "$argon2id$v=19$m={},t={},p={}${}${}".format(
            MEMORY_COST_KIBIBYTES,
            TIME_COST,
            PARALLELISM,
            *(b64encode(os.urandom(size)).decode().rstrip("=") for size in (16, 32)),
        )

    async def hash(self, password: str) -> str:
        """Return the hash of a new password as a PHC string. Raises `TooBusyToHash`."""
        return await self._run(lambda: self._hasher.hash(prepare(password)))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether `password` fits; None stands for an account that does not exist and costs the same time.

        Raises `TooBusyToHash`.
        """
        return await self._run(lambda: self._verify(password_hash, password))

    def is_outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        """End the threads."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password_hash: str | None, password: str) -> bool:
        try:
            self._hasher.verify(password_hash or self._nobody, prepare(password))
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        if self._waiting >= MAX_WAITING:
            raise TooBusyToHash
        self._waiting += 1
        try:
            async with self._slots:
                return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._waiting -= 1
