"""Every command in every state does what the tables say, and the tables are whole."""

from __future__ import annotations

import pytest

from postroad.protocols.smtp.server import SmtpServer
from postroad.protocols.smtp.states import COMMAND_STATES, OUT_OF_ORDER, TRANSITIONS, State, Step, Verb
from tests.protocols.smtp.dialogue import codes, engine, feed

WAY_TO = {
    State.START: b"",
    State.READY: b"EHLO client\r\n",
    State.SENDER: b"EHLO client\r\nMAIL FROM:<a@example.org>\r\n",
    State.RECIPIENTS: b"EHLO client\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\n",
    State.CHUNKS: b"EHLO client\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nBDAT 2\r\nab",
}
LINE = {
    Verb.HELO: b"HELO client",
    Verb.EHLO: b"EHLO client",
    Verb.MAIL: b"MAIL FROM:<c@example.org>",
    Verb.RCPT: b"RCPT TO:<d@example.org>",
    Verb.DATA: b"DATA",
    Verb.BDAT: b"BDAT 0",
    Verb.RSET: b"RSET",
    Verb.NOOP: b"NOOP",
    Verb.VRFY: b"VRFY a",
    Verb.HELP: b"HELP",
    Verb.QUIT: b"QUIT",
    Verb.STARTTLS: b"STARTTLS",
    Verb.AUTH: b"AUTH LOGIN",
}
LEADS_TO = {
    Verb.HELO: Step.GREETED,
    Verb.EHLO: Step.GREETED,
    Verb.MAIL: Step.SENDER_ACCEPTED,
    Verb.RCPT: Step.RECIPIENT_ACCEPTED,
    Verb.DATA: Step.CONTENT_BEGUN,
    Verb.BDAT: Step.CHUNK_BEGUN,
    Verb.RSET: Step.RESET,
    Verb.QUIT: Step.CLOSED,
    Verb.STARTTLS: Step.TLS_BEGUN,
    Verb.AUTH: Step.SIGN_IN_BEGUN,
}


def standing_in(state: State) -> SmtpServer:
    server = engine(offers_starttls=True)
    feed(server, WAY_TO[state])
    server.bytes_to_send()
    assert server.state is state
    return server


@pytest.mark.parametrize("state", COMMAND_STATES)
@pytest.mark.parametrize("verb", Verb)
@pytest.mark.parametrize("is_lower_case", [False, True])
def test_a_command_does_what_the_tables_say(state: State, verb: Verb, is_lower_case: bool) -> None:
    server = standing_in(state)
    line = LINE[verb]
    feed(server, (line.lower() if is_lower_case else line) + b"\r\n")
    sent = server.bytes_to_send()
    refusal = OUT_OF_ORDER[state].get(verb)
    if refusal is not None:
        assert sent == refusal.render()
        assert server.state is state
        return
    assert codes(sent)[0] < 400
    if verb not in LEADS_TO:
        assert server.state is state
    elif verb is Verb.BDAT:
        assert server.state is State.CHUNKS  # an empty chunk ends at once
    else:
        assert server.state is TRANSITIONS[state][LEADS_TO[verb]]


def test_a_command_in_order_has_its_transition() -> None:
    for state in COMMAND_STATES:
        for verb, step in LEADS_TO.items():
            assert (verb in OUT_OF_ORDER[state]) != (step in TRANSITIONS[state]), (state, verb)


def test_every_state_is_reached_and_only_the_end_is_final() -> None:
    reached = {State.CONNECTED}
    while fresh := {end for start in reached for end in TRANSITIONS[start].values()} - reached:
        reached |= fresh
    assert reached == set(State)
    for state in State:
        assert bool(TRANSITIONS[state]) == (state is not State.CLOSED)
        if state is not State.CLOSED:
            assert TRANSITIONS[state][Step.CLOSED] is State.CLOSED


def test_every_step_happens_somewhere() -> None:
    assert {step for steps in TRANSITIONS.values() for step in steps} == set(Step)
