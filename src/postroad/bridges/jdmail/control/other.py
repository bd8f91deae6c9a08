"""Commands about mail filters, POP3 links and files (sections 6.2, 6.5, 6.6): what there is none of here.

They answer truly: lists are empty, what is looked for is not found, and what would have no effect is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

from postroad.bridges.jdmail.control.house import Asked, House, paged_rows
from postroad.bridges.jdmail.control.places import account_at, home_of
from postroad.listeners.ctrl import Answer, Rows, Wanted
from postroad.protocols.ctrl.replies import Code, CtrlFailure

# The one rule that is true of every account: its mail goes to its mailbox.
MAILBOX = b'"mailbox"'


async def usergetmproc(house: House, asked: Asked) -> Answer:
    """Nobody has any rules."""
    domain, name = asked.arguments[:2]
    await account_at(house, name, await home_of(house, asked, domain))
    raise CtrlFailure(Code.NO_PROCESSING)


async def usersetmproc(house: House, asked: Asked) -> Answer:
    """Rules that say what happens anyway are taken; others are refused, so that nobody relies on them."""
    domain, name = asked.arguments[:2]
    await account_at(house, name, await home_of(house, asked, domain))

    async def store(lines: Sequence[bytes]) -> None:
        if any(line.strip() not in (b"", MAILBOX) and not line.startswith(b"#") for line in lines):
            raise CtrlFailure(Code.BAD_FILE)

    return Wanted(store)


async def poplnkadd(_: House, __: Asked) -> Answer:
    """Refused: nobody here would fetch."""
    raise CtrlFailure(Code.CANNOT_WRITE_LINKS)


async def poplnk(_: House, __: Asked) -> Answer:
    """There are no links to remove or to switch."""
    raise CtrlFailure(Code.LINK_NOT_FOUND)


async def poplnklist(_: House, __: Asked) -> Answer:
    """There are none."""
    return Rows(paged_rows([]))


async def filelist(_: House, asked: Asked) -> Answer:
    """There are no files to be seen."""
    raise CtrlFailure(Code.BAD_PATH if ".." in asked.arguments[0] else Code.NO_DIRECTORY)


async def cfgfile(_: House, __: Asked) -> Answer:
    """Section 6.6: files reach the administrators' passwords, so there are none."""
    raise CtrlFailure(Code.BAD_PATH)
