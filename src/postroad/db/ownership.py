"""Whose files they are: what root started acts as the owner of the data directory (capabilities(7)).

What root's command line wrote would be root's, and the server, which is somebody else, could not write
beside it any more. So root becomes that somebody before a file is touched. The server keeps the one right it
needs (ports below 1024), a command the right to read and write where only root may: a backup into /root is
the owner's file.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

USER = "postroad"  # whose a data directory becomes that root makes
DAC_OVERRIDE, DAC_READ_SEARCH, NET_BIND_SERVICE = 1, 2, 10  # linux/capability.h
COMMANDS_KEEP = (DAC_OVERRIDE, DAC_READ_SEARCH)
SERVER_KEEPS = (NET_BIND_SERVICE,)

_KEEP_CAPABILITIES, _AMBIENT, _RAISE = 8, 47, 2  # prctl(2)
_VERSION_3 = 0x20080522


class NotTheOwner(Exception):
    """The data directory is somebody else's; the message says whose."""


@dataclass(frozen=True, slots=True)
class Owner:
    """An account of this machine."""

    name: str
    user_id: int
    group_id: int
    home: str


def act_as_owner(data_dir: Path, keeps: Sequence[int], *, children_too: bool = False) -> Owner | None:
    """Become the owner of `data_dir` when root started us; returns who that is, None when nothing changed.

    A directory that is not there yet is made for the user `postroad`, where there is one. Of root's rights
    those in `keeps` stay, with `children_too` also for programs that are started. Call it before the first
    thread. Raises `NotTheOwner` when somebody else than root started us and may not write there; `OSError`.
    """
    if os.geteuid() != 0:
        _check(data_dir)
        return None
    owner = _owner_of(data_dir)
    if owner is None or owner.user_id == 0:
        return None  # a house of root's own: a container, a machine for trying it out
    if not data_dir.is_dir():
        data_dir.mkdir(parents=True)
        data_dir.chmod(0o711)
        os.chown(data_dir, owner.user_id, owner.group_id)
    _become(owner, keeps, children_too)
    return owner


def lending() -> Callable[[], None] | None:
    """What lets one program that is started keep what we have kept of root's rights; None: there is nothing.

    For `preexec_fn`: it runs between fork and exec.
    """
    if os.geteuid() == 0 or sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    header, data = _Header(_VERSION_3, 0), (_Data * 2)()
    libc.capget(ctypes.byref(header), data)
    kept = data[0].permitted
    if not kept:
        return None
    data[0] = _Data(kept, kept, kept)

    def lend() -> None:
        libc.capset(ctypes.byref(header), data)
        for each in range(32):
            if kept & 1 << each:
                libc.prctl(_AMBIENT, _RAISE, each, 0, 0)

    return lend


def check_programs() -> None:
    """Look whether who we have become can start our own programs. Raises `NotTheOwner`."""
    if not os.access(sys.executable, os.X_OK):
        name = _account(os.geteuid()).name
        raise NotTheOwner(
            f"{name} cannot run {sys.executable}: install Postroad where that user can reach it, as in /opt"
        )


def _check(data_dir: Path) -> None:
    if data_dir.is_dir() and not os.access(data_dir, os.W_OK | os.X_OK):
        whose = data_dir.stat().st_uid
        name = _account(whose).name
        hint = "root" if name == "root" else f"{name} or as root"
        raise NotTheOwner(f"{data_dir} belongs to {name}: run this as {hint}")


def _owner_of(data_dir: Path) -> Owner | None:
    try:
        user_id = data_dir.stat().st_uid
    except FileNotFoundError:
        try:
            return _owner(pwd.getpwnam(USER))
        except KeyError:
            return None
    return _account(user_id)


def _account(user_id: int) -> Owner:
    try:
        return _owner(pwd.getpwuid(user_id))
    except KeyError:  # a container's user without a name
        return Owner(str(user_id), user_id, user_id, "/")


def _owner(entry: pwd.struct_passwd) -> Owner:
    return Owner(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _become(owner: Owner, keeps: Sequence[int], children_too: bool) -> None:
    is_linux = sys.platform == "linux"
    libc = ctypes.CDLL(None, use_errno=True) if is_linux else None
    if libc is not None:
        libc.prctl(_KEEP_CAPABILITIES, 1, 0, 0, 0)
    try:
        os.initgroups(owner.name, owner.group_id)
    except OSError:  # a user without a name has no further groups
        os.setgroups([owner.group_id])
    os.setresgid(owner.group_id, owner.group_id, owner.group_id)
    os.setresuid(owner.user_id, owner.user_id, owner.user_id)
    os.environ.update(HOME=owner.home, USER=owner.name, LOGNAME=owner.name)
    if libc is None:
        return
    header, data = _Header(_VERSION_3, 0), (_Data * 2)()
    libc.capget(ctypes.byref(header), data)
    # A container may have taken some of root's rights away: what is not there cannot stay.
    kept = sum(1 << each for each in keeps) & data[0].permitted
    data[0] = _Data(kept, kept, kept if children_too else 0)
    data[1] = _Data(0, 0, 0)
    if libc.capset(ctypes.byref(header), data) != 0:
        raise OSError(ctypes.get_errno(), f"cannot give up root's rights for {owner.name}")
    if children_too:
        for each in keeps:
            if kept & 1 << each:
                libc.prctl(_AMBIENT, _RAISE, each, 0, 0)
    libc.prctl(_KEEP_CAPABILITIES, 0, 0, 0, 0)
