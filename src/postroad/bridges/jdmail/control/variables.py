"""`uservars` and `uservarsset`: variables of an account (section 6.2).

Some of them are properties of the account here, and so have an effect at once; all others are kept as they
are.
"""

from __future__ import annotations

import re

from postroad.bridges.jdmail.control.house import Asked, House, Row, paged_rows
from postroad.bridges.jdmail.control.places import account_at, home_of
from postroad.directory.addresses.accounts import MAX_QUOTA_BYTES, Account, AccountChanges
from postroad.directory.errors import BadValue, LimitReached, UnknownAccount
from postroad.listeners.ctrl import Answer, Done, Rows
from postroad.protocols.ctrl.replies import Code, CtrlFailure

KIBIBYTE = 1024
REMOVE = ".|rm"
UNKNOWN = "??"
# What every account begins with, in this order.
NAMES = (
    *("RealName", "HomePage", "Address", "Telephone"),
    *("MaxMBSize", "SmtpPerms", "ReceiveEnable", "PopEnable"),
)
_NUMBER = re.compile(r"\d{1,15}\Z")
_SENDS = "M"  # among the letters of SmtpPerms: may send mail


async def uservars(house: House, asked: Asked) -> Answer:
    """All variables of an account."""
    account = await _account(house, asked)
    kept = await house.variables.of(account.id)
    rows: list[Row] = []
    for name in NAMES:
        value = _property(account, name)
        if name not in kept:
            rows.append((name, value))
        elif (shown := kept.pop(name)) is not None:
            rows.append((name, _agreeing(account, name, shown)))
    rows += [(name, value) for name, value in kept.items() if value is not None]
    return Rows(paged_rows(rows))


async def uservarsset(house: House, asked: Asked) -> Answer:
    """Set variables, or remove those whose value is `.|rm`."""
    pairs = asked.arguments[2:]
    if len(pairs) % 2:
        raise CtrlFailure(Code.SYNTAX)
    account = await _account(house, asked)
    given = dict(zip(pairs[::2], pairs[1::2], strict=True))
    if any(not name or '"' in name + value for name, value in given.items()):
        raise CtrlFailure(Code.BAD_CHARACTERS)  # in a list they could not be told from what parts values
    changes = AccountChanges()
    for name, value in given.items():
        changes.update(_changes(name, value))
    try:
        if changes:
            await house.accounts.update(account.address, **changes)
        await house.variables.set(
            account.id, {name: None if value == REMOVE else value for name, value in given.items()}
        )
    except UnknownAccount as error:
        raise CtrlFailure(Code.NO_RECORD) from error
    except (BadValue, LimitReached) as error:
        raise CtrlFailure(Code.CANNOT_WRITE) from error
    return Done()


async def _account(house: House, asked: Asked) -> Account:
    domain, name = asked.arguments[:2]
    return await account_at(house, name, await home_of(house, asked, domain))


def _property(account: Account, name: str) -> str:
    """What the account says of one of `NAMES`."""
    match name:
        case "RealName":
            return account.display_name.replace('"', "'") or UNKNOWN
        case "MaxMBSize":
            return str(0 if account.quota_bytes is None else max(account.quota_bytes // KIBIBYTE, 1))
        case "SmtpPerms":
            return "MR" if account.may_send else "R"
        case "ReceiveEnable":
            return str(int(account.takes_mail and not account.is_disabled))
        case "PopEnable":
            return str(int(account.may_sign_in and not account.is_disabled))
        case _:
            return UNKNOWN


def _agreeing(account: Account, name: str, kept: str) -> str:
    """What was set, if the account still agrees with it: it may have been changed elsewhere since."""
    if name in ("HomePage", "Address", "Telephone"):
        return kept
    own = _property(account, name)
    if name == "SmtpPerms":
        return kept if (_SENDS in kept) == account.may_send else own
    return own


def _changes(name: str, value: str) -> AccountChanges:
    """Return what setting a variable changes of the account. Raises `CtrlFailure`."""
    is_removed = value == REMOVE
    match name:
        case "RealName":
            return {"display_name": "" if is_removed or value == UNKNOWN else value}
        case "MaxMBSize":
            if not is_removed and not _NUMBER.match(value):
                raise CtrlFailure(Code.CANNOT_WRITE)
            kilobytes = 0 if is_removed else int(value)
            return {"quota_bytes": min(kilobytes * KIBIBYTE, MAX_QUOTA_BYTES) or None}
        case "SmtpPerms":
            return {"may_send": is_removed or _SENDS in value}
        case "ReceiveEnable":
            return {"takes_mail": is_removed or _is_on(value)}
        case "PopEnable":
            return {"may_sign_in": is_removed or _is_on(value)}
        case _:
            return {}


def _is_on(value: str) -> bool:
    if not _NUMBER.match(value):
        raise CtrlFailure(Code.CANNOT_WRITE)
    return int(value) != 0
