"""A crowd of clients that sends numbered mails until each was acknowledged, whatever happens to the server.

Every attempt is a mail of its own (`number.attempt`): when an answer is lost, nobody can say whether that
attempt was stored, so it may be there once or not at all. An acknowledged one must be there exactly once.
"""

from __future__ import annotations

import smtplib
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

ANSWER_SECONDS = 30.0


@dataclass
class Pouring:
    """What is sent, and what was acknowledged so far."""

    port: int
    recipient: str
    count: int
    prefix: str = ""
    sessions: int = 20
    acknowledged: set[str] = field(default_factory=set)
    refused: list[int] = field(default_factory=list)  # codes of answers that were no success
    attempts: int = 0

    def __post_init__(self) -> None:
        self._todo = deque(range(self.count))
        self._moved = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._given_up = False

    def start(self) -> None:
        """Let all sessions begin."""
        self._threads = [
            threading.Thread(target=self._session, name=f"client-{number}", daemon=True)
            for number in range(self.sessions)
        ]
        for thread in self._threads:
            thread.start()

    def wait_for(self, count: int, seconds: float) -> None:
        """Wait until so many mails are acknowledged. Raises `TimeoutError`."""
        with self._moved:
            if not self._moved.wait_for(lambda: len(self.acknowledged) >= count, timeout=seconds):
                self._given_up = True
                raise TimeoutError(
                    f"{len(self.acknowledged)} of {count} mails acknowledged in {seconds:.0f} s"
                )

    def finish(self, seconds: float) -> None:
        """Wait until every number was acknowledged and the clients have left. Raises `TimeoutError`."""
        self.wait_for(self.count, seconds)
        for thread in self._threads:
            thread.join(ANSWER_SECONDS)

    def _session(self) -> None:
        server: smtplib.SMTP | None = None
        while not self._given_up:
            try:
                number = self._todo.popleft()
            except IndexError:
                break
            attempt = 0
            while not self._given_up:
                attempt += 1
                name = f"{self.prefix}{number}.{attempt}"
                with self._moved:
                    self.attempts += 1
                server, is_done = self._try(server, name)
                if is_done:
                    break
        if server is not None:
            with suppress(OSError, smtplib.SMTPException):
                server.quit()

    def _try(self, server: smtplib.SMTP | None, name: str) -> tuple[smtplib.SMTP | None, bool]:
        try:
            if server is None:
                server = smtplib.SMTP("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
            server.sendmail("pour@client.test", [self.recipient], mail(name, self.recipient))
        except smtplib.SMTPResponseException as error:
            self._note_refusal(error.smtp_code)
            return server, False
        except smtplib.SMTPRecipientsRefused as error:
            self._note_refusal(next(iter(error.recipients.values()))[0])
            return server, False
        except (OSError, smtplib.SMTPException):
            if server is not None:
                server.close()
            # The port may be closed for a second while the server starts again: do not spin meanwhile.
            time.sleep(0.02)
            return None, False
        with self._moved:
            self.acknowledged.add(name)
            self._moved.notify_all()
        return server, True

    def _note_refusal(self, code: int) -> None:
        with self._moved:
            self.refused.append(code)
        time.sleep(0.02)


def mail(name: str, recipient: str) -> bytes:
    """A small mail known by its Message-ID."""
    return (
        f"From: <pour@client.test>\r\nTo: <{recipient}>\r\nSubject: Number {name}\r\n"
        f"Message-ID: <{name}@pour.test>\r\n\r\n" + f"This is mail {name}.\r\n" * 20
    ).encode()


def hold_against(found: dict[str, int], acknowledged: set[str]) -> None:
    """Every acknowledged mail exactly once, nothing twice. `found` counts copies by name."""
    lost = sorted(acknowledged - found.keys())
    doubled = sorted(name for name, copies in found.items() if copies != 1)
    assert not lost, f"{len(lost)} acknowledged mails are not there: {lost[:10]}"
    assert not doubled, f"{len(doubled)} mails are there more than once: {doubled[:10]}"
