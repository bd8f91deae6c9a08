"""The server's engine: the worked example as bytes, every state, what the original does that ours must
not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.protocols.ctrl.replies import TEXTS, Code
from postroad.protocols.ctrl.server import Command, CtrlServer, Greeting, Login, Request, StartTls, Upload
from postroad.protocols.ctrl.states import State

GREETING = Greeting("<1795287819.139945528190656@127.0.0.1>", "XMail 1.27", "Sat, 21 Nov 2026 19:03:39 -0000")
BANNER = (
    b"+00000 <1795287819.139945528190656@127.0.0.1> XMail 1.27 CTRL Server; "
    b"Sat, 21 Nov 2026 19:03:39 -0000\r\n"
)
LOGIN = b'"admin"\t"#150cdce4159c4d9e9097d7a96232f730"\r\n'


def server(*, offers_tls: bool = True, is_tls: bool = False) -> CtrlServer:
    made = CtrlServer(GREETING, offers_tls=offers_tls, is_tls=is_tls)
    made.greet()
    assert made.output() == BANNER
    return made


def signed_in() -> CtrlServer:
    made = server()
    made.receive(LOGIN)
    assert isinstance(made.next_request(), Login)
    made.signed_in()
    assert made.output() == b"+00000 OK\r\n"
    return made


def ask(engine: CtrlServer, line: bytes) -> Request | None:
    engine.receive(line + b"\r\n")
    return engine.next_request()


def test_the_worked_example() -> None:
    engine = server()
    engine.receive(LOGIN)
    login = engine.next_request()
    assert login == Login(
        "admin", "150cdce4159c4d9e9097d7a96232f730", True, b"<1795287819.139945528190656@127.0.0.1>"
    )
    engine.signed_in()
    assert engine.output() == b"+00000 OK\r\n"
    assert ask(engine, b'"userlist"\t"d1.test"\t"alice"') == Command("userlist", ("d1.test", "alice"))
    engine.begin_list()
    engine.rows([("d1.test", "alice", "new3", "U")])
    engine.end_list()
    assert engine.output() == b'+00100 OK\r\n"d1.test"\t"alice"\t"new3"\t"U"\r\n.\r\n'
    assert ask(engine, b'"userdel"\t"d1.test"\t"nobody"') == Command("userdel", ("d1.test", "nobody"))
    engine.fail(Code.USER_NOT_FOUND)
    assert engine.output() == b"-00012 User not found\r\n"
    assert ask(engine, b'"usersetmproc"\t"d1.test"\t"alice"') is not None
    engine.want_upload()
    assert engine.output() == b"+00101 OK\r\n"
    engine.receive(b'"mailbox"\r\n..dot\r\n"end"\r\n.\r\n')
    assert engine.next_request() == Upload((b'"mailbox"', b".dot", b'"end"'))
    engine.done()
    assert engine.output() == b"+00000 OK\r\n"
    assert ask(engine, b'"quit"') is None
    assert engine.output() == b"+00000 OK\r\n"
    assert engine.is_closed


def test_tls_as_in_the_worked_example() -> None:
    engine = server()
    assert ask(engine, b"#!TLS") == StartTls()
    engine.receive(b'"noop"\r\n')  # said in plain text behind it: must not count
    assert engine.output() == b"+00000 Ready to start TLS mode\r\n"
    engine.tls_established()
    assert engine.next_request() is None
    assert ask(engine, b'"admin"\t"secret"') == Login(
        "admin", "secret", False, b"<1795287819.139945528190656@127.0.0.1>"
    )
    engine.signed_in()
    engine.output()
    assert ask(engine, b'"noop"') is None
    assert engine.output() == b"+00000 OK\r\n"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'"quit"', Code.BAD_LOGIN),
        (b"", Code.BAD_LOGIN),
        (b"#!tls", Code.BAD_LOGIN),
        (b'"#!TLS"', Code.BAD_LOGIN),
        (b'"a"\t"b"\t"c"', Code.BAD_LOGIN),
        (b'"a"\t"\xe4"', Code.BAD_CHARACTERS),
        (b"x" * 300, Code.LINE_TOO_LONG),
    ],
)
def test_a_malformed_login_ends_the_session(line: bytes, code: Code) -> None:
    engine = server()
    assert ask(engine, line) is None
    assert engine.output() == f"-{code:05d} {TEXTS[code]}\r\n".encode()
    assert engine.is_closed
    assert ask(engine, b'"admin"\t"secret"') is None


def test_tls_is_refused_where_it_cannot_be() -> None:
    for engine, said in (
        (server(offers_tls=False), b"-00249 TLS service disabled\r\n"),
        (server(is_tls=True), b"-00242 TLS link already active\r\n"),
    ):
        assert ask(engine, b"#!TLS") is None
        assert engine.output() == said
        assert engine.is_closed
    engine = signed_in()
    assert ask(engine, b"#!TLS") == Command("#!tls", ())  # an unknown command by then


def test_a_failed_login_ends_the_session_and_a_failed_command_does_not() -> None:
    engine = server()
    ask(engine, LOGIN.strip())
    engine.refuse_login(Code.NO_LOCK)
    assert engine.output() == b"-00161 Resource lock entry not found\r\n"
    assert engine.is_closed
    engine = signed_in()
    for _ in range(50):
        assert ask(engine, b'"nonsense"') == Command("nonsense", ())
        engine.fail(Code.SYNTAX)
    assert engine.output() == b"-00103 Bad CTRL command syntax\r\n" * 50


@pytest.mark.parametrize("line", [b"", b"\t\t", b'""', b'"noop"\t"x"', b'"quit"\t"x"'])
def test_what_is_no_command(line: bytes) -> None:
    engine = signed_in()
    assert ask(engine, line) is None
    assert engine.output() == b"-00103 Bad CTRL command syntax\r\n"
    assert not engine.is_closed


def test_the_case_of_a_command_does_not_matter() -> None:
    engine = signed_in()
    assert ask(engine, b"UserList") == Command("userlist", ())
    engine.done()
    engine.output()
    assert ask(engine, b"NOOP") is None
    assert engine.output() == b"+00000 OK\r\n"


def test_bad_bytes_in_a_command_are_told_and_the_session_goes_on() -> None:
    engine = signed_in()
    assert ask(engine, b'"useradd"\t"d1.test"\t"\xe5\x90\x8d"') is None
    assert engine.output() == b"-00190 Bad characters in command line\r\n"
    assert ask(engine, b'"domainlist"') == Command("domainlist", ())


def test_a_command_line_is_bounded() -> None:
    engine = signed_in()
    assert ask(engine, b"a" * 4092) is not None
    engine.fail(Code.SYNTAX)
    engine.output()
    assert ask(engine, b"a" * 4093) is None
    assert engine.output() == b"-00162 Stream line too long\r\n"
    assert engine.is_closed


def uploading() -> CtrlServer:
    engine = signed_in()
    ask(engine, b'"custdomset"\t"d1.test"')
    engine.want_upload()
    engine.output()
    return engine


def test_an_overlong_line_of_an_upload_is_swallowed_up_to_the_dot() -> None:
    engine = uploading()
    engine.receive(b"first\r\n" + b"x" * 9000 + b'\r\n"domaindel"\t"d1.test"\r\n.\r\n"noop"\r\n')
    assert engine.next_request() is None  # the original would have read the rest as commands
    assert engine.output() == b"-00162 Stream line too long\r\n+00000 OK\r\n"


def test_an_upload_is_bounded() -> None:
    engine = uploading()
    for _ in range(200):
        engine.receive(b"x" * 2000 + b"\r\n")
        assert engine.next_request() is None
    engine.receive(b".\r\n")
    assert engine.next_request() is None
    assert engine.output() == b"-00162 Stream line too long\r\n"
    assert engine.state is State.COMMANDS
    engine = uploading()
    for _ in range(9000):
        engine.receive(b"x" * 2000 + b"\r\n")
        engine.next_request()
    assert engine.is_closed


def test_an_upload_that_breaks_off_is_nothing() -> None:
    engine = uploading()
    engine.receive(b'"mailbox"\r\n')
    assert engine.next_request() is None


session = st.lists(
    st.sampled_from(
        [
            b'"noop"', b"quit", b'"useradd"\t"d"\t"n"', b"", b".", b"..x", b"#!TLS", b'"a"\t"b"', b"\xff",
            b'"custdomset"\t"d"', b"z" * 5000, b"\x00", b"a\rb",
        ]
    ),
    max_size=8,
)  # fmt: skip


def served(pieces: list[bytes]) -> tuple[list[Request], bytes]:
    """What a session asks, and what it is told, when everything is answered somehow."""
    engine = CtrlServer(GREETING, offers_tls=True)
    engine.greet()
    requests: list[Request] = []
    said = b""
    for piece in pieces:
        engine.receive(piece)
        while (request := engine.next_request()) is not None:
            requests.append(request)
            match request:
                case Login():
                    engine.signed_in()
                case StartTls():
                    engine.refuse_login(Code.TLS_OFF)
                case Command("custdomset", _):
                    engine.want_upload()
                case Command():
                    engine.fail(Code.SYNTAX)
                case Upload():
                    engine.done()
        said += engine.output()
    return requests, said


@given(session, st.data())
def test_how_bytes_arrive_changes_nothing(lines: list[bytes], data: st.DataObject) -> None:
    sent = b'"a"\t"b"\r\n' + b"".join(line + b"\r\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=5)))
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    assert served(pieces) == served([sent])
