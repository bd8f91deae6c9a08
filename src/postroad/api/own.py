"""What an account is set to: the name it writes under, its language, its mobile number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import StringConstraints

from postroad.api.operations import Answer, Call, Model, Operation, Text
from postroad.directory.addresses.accounts import Account, AccountChanges, Accounts
from postroad.directory.identity.tokens import Scope


class Settings(Model):
    """An account's own settings."""

    address: str
    display_name: str
    language: str | None
    mobile: str | None


class SettingsChange(Model):
    """What is to be set; what is left out stays, null takes away."""

    display_name: Annotated[Text, StringConstraints(max_length=200)] | None = None
    language: Literal["en", "zh"] | None = None
    mobile: Annotated[Text, StringConstraints(max_length=40)] | None = None


class OwnCalls:
    """Operations on one's own settings."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def operations(self) -> Sequence[Operation]:
        """What can be asked for."""
        return [
            Operation(
                method="GET",
                path="/settings",
                name="getSettings",
                summary="What the account is set to",
                tag="account",
                handler=self.get,
                scope=Scope.MAIL_READ,
                answer=Settings,
            ),
            Operation(
                method="PATCH",
                path="/settings",
                name="changeSettings",
                summary="Set the account's name, language or mobile number",
                tag="account",
                handler=self.change,
                scope=Scope.MAIL_WRITE,
                body=SettingsChange,
                answer=Settings,
            ),
        ]

    async def get(self, call: Call) -> Answer:
        """The settings."""
        return Answer(_settings(await self._accounts.get(call.account.id)))

    async def change(self, call: Call) -> Answer:
        """Set what was sent."""
        body: SettingsChange = call.body
        changes: AccountChanges = {}
        if body.display_name is not None:
            changes["display_name"] = body.display_name
        if "language" in body.model_fields_set:
            changes["language"] = body.language
        if "mobile" in body.model_fields_set:
            changes["mobile"] = body.mobile
        return Answer(_settings(await self._accounts.update(call.account.address, **changes)))


def _settings(account: Account) -> Settings:
    return Settings(
        address=str(account.address),
        display_name=account.display_name,
        language=account.language,
        mobile=account.mobile,
    )
