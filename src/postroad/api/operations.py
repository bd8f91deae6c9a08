"""What a call is: operations as a table, the call that reaches a handler, and the answer it gives.

The table is the one truth: routes, scopes, checks of what comes in and the description are made of it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from postroad.api.words import Language
from postroad.directory.identity.tokens import Bearer, Scope
from postroad.message.address import Address

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
LARGEST_ID = 2**63 - 1
# Path parameters that are numbers; every other is text.
NUMBERS = frozenset({"folder", "uid"})


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("no NUL characters")
    text.encode()  # a lone surrogate raises a ValueError
    return text


Text = Annotated[str, AfterValidator(_storable)]
Id = Annotated[int, Field(ge=1, le=LARGEST_ID)]


class Model(BaseModel):
    """What travels as JSON. What is not known is refused, so that a misspelt field is no silence."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_bytes="base64", val_json_bytes="base64")


@dataclass(frozen=True, slots=True)
class Account:
    """The mailbox a call is about."""

    id: int
    address: Address
    display_name: str


@dataclass(frozen=True, slots=True)
class Call:
    """One call, understood. `query` and `body` are of the operation's models.

    `repeats`: it was begun before with the same idempotency key, and how that ended is not known.
    """

    bearer: Bearer
    account_or_none: Account | None
    path: Mapping[str, str]
    query: Any
    body: Any
    language: Language
    client: str
    headers: Mapping[str, str]
    key: str | None = None
    repeats: bool = False

    @property
    def account(self) -> Account:
        """The mailbox; only of operations on one."""
        assert self.account_or_none is not None
        return self.account_or_none

    def number(self, name: str) -> int:
        """A path parameter that is a number, checked before."""
        return int(self.path[name])


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: a value as JSON, or bytes, or a stream, or nothing."""

    value: BaseModel | None = None
    status: int | None = None  # None: the operation's
    location: str | None = None
    etag: str | None = None
    content: bytes | None = None
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: AsyncIterator[bytes] | None = None


Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing that can be asked for."""

    method: Method
    path: str
    name: str
    summary: str
    tag: str
    handler: Handler
    scope: Scope | None
    of_account: bool = True
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    media_type: str = "application/json"
    status: int = 200
    creates: bool = False
    is_large: bool = False


class Part(Protocol):
    """A part of the API: some operations."""

    def operations(self) -> Sequence[Operation]:
        """What can be asked for."""
        ...
