"""What the server says: codes with their texts, and the failure that carries one.

Interface page ctrl-protocol.md, section 7.1: scripts compare the text, which the client shows.
"""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """The failures that this server answers with; on the wire a minus stands before."""

    USER_NOT_FOUND = 12
    USER_EXISTS = 13
    NO_SUCH_FILE = 19
    BAD_FILE = 20
    CANNOT_WRITE = 21
    BAD_PASSWORD = 24
    ALIAS_EXISTS = 26
    ALIAS_NOT_FOUND = 28
    CANNOT_WRITE_LINKS = 45
    LINK_NOT_FOUND = 46
    NOT_A_LIST = 50
    MEMBER_EXISTS = 52
    MEMBER_NOT_FOUND = 53
    UNKNOWN_DOMAIN = 59
    CANNOT_WRITE_EXTERNAL = 68
    EXTERNAL_NOT_FOUND = 69
    SYNTAX = 103
    BAD_LOGIN = 105
    NO_PROCESSING = 116
    NOT_CUSTOM = 120
    BUSY = 129
    BAD_CLIENT = 130
    BAD_ADDRESS = 132
    NO_RECORD = 157
    NO_LOCK = 161
    LINE_TOO_LONG = 162
    CANNOT_MOVE = 164
    DOMAIN_ALIAS_EXISTS = 205
    DOMAIN_ALIAS_NOT_FOUND = 206
    NO_DIRECTORY = 211
    BAD_PATH = 214
    BAD_NAME = 216
    DOMAIN_EXISTS = 231
    TLS_ACTIVE = 242
    TLS_OFF = 249
    BAD_CHARACTERS = 190
    BAD_HOST = 260


TEXTS: dict[Code, str] = {
    Code.USER_NOT_FOUND: "User not found",
    Code.USER_EXISTS: "User already exist",
    Code.NO_SUCH_FILE: "Unable to open file",
    Code.BAD_FILE: "Invalid file structure",
    Code.CANNOT_WRITE: "Unable to write file",
    Code.BAD_PASSWORD: "Invalid password",
    Code.ALIAS_EXISTS: "Alias already exist",
    Code.ALIAS_NOT_FOUND: "Alias not found",
    Code.CANNOT_WRITE_LINKS: "Error writing POP3 links file",
    Code.LINK_NOT_FOUND: "POP3 link not found",
    Code.NOT_A_LIST: "User is not a mailing list",
    Code.MEMBER_EXISTS: "Mailing list user already exist",
    Code.MEMBER_NOT_FOUND: "Mailing list user not found",
    Code.UNKNOWN_DOMAIN: "POP3 domain not handled",
    Code.CANNOT_WRITE_EXTERNAL: "Error writing External-Alias file",
    Code.EXTERNAL_NOT_FOUND: "External alias not found",
    Code.SYNTAX: "Bad CTRL command syntax",
    Code.BAD_LOGIN: "Bad controller login",
    Code.NO_PROCESSING: "User mail processing file not present",
    Code.NOT_CUSTOM: "Not a custom domain",
    Code.BUSY: "Server too busy, retry later",
    Code.BAD_CLIENT: "Server does not like Your IP",
    Code.BAD_ADDRESS: "Bad tag ( From: , etc ... ) address",
    Code.NO_RECORD: "Record not found in TAB file",
    Code.NO_LOCK: "Resource lock entry not found",
    Code.LINE_TOO_LONG: "Stream line too long",
    Code.CANNOT_MOVE: "Unable to move file",
    Code.DOMAIN_ALIAS_EXISTS: "Domain alias already exist",
    Code.DOMAIN_ALIAS_NOT_FOUND: "Domain alias not found",
    Code.NO_DIRECTORY: "Listing directory not found",
    Code.BAD_PATH: "Error in relative path syntax",
    Code.BAD_NAME: "Name does not respect RFC822",
    Code.DOMAIN_EXISTS: "Already exist",
    Code.TLS_ACTIVE: "TLS link already active",
    Code.TLS_OFF: "TLS service disabled",
    Code.BAD_CHARACTERS: "Bad characters in command line",
    Code.BAD_HOST: "Invalid host name",
}


class CtrlFailure(Exception):
    """A command that is refused."""

    def __init__(self, code: Code) -> None:
        super().__init__(TEXTS[code])
        self.code = code
