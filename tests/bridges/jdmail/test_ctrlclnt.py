"""The `ctrlclnt` command by itself: its command line, files, and what it makes of a server that misbehaves.

Interface page ctrl-protocol.md, sections 7.2 and 8. The server is a script of bytes.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from postroad.bridges.jdmail.ctrlclnt import USAGE, BadUsage, Trouble, address_of, lines_of, parse
from tests.bridges.jdmail.room import Ran, block, run_client
from tests.running import environment

BANNER = b"+00000 <1234567890.42@127.0.0.1> XMail 1.27 CTRL Server; x\r\n"
OK = b"+00000 OK\r\n"


@contextmanager
def saying(*replies: bytes, hangs: bool = False) -> Iterator[tuple[int, list[bytes]]]:
    """A server that says the first reply, then one more for each line it hears; gives port and lines."""
    heard: list[bytes] = []
    listening = socket.create_server(("127.0.0.1", 0))
    finished = threading.Event()

    def serve() -> None:
        connection, _ = listening.accept()
        with connection, connection.makefile("rb") as lines:
            for reply in replies:
                connection.sendall(reply)
                line = lines.readline()
                if not line:
                    return
                heard.append(line)
            if hangs:
                finished.wait()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1], heard
    finally:
        finished.set()
        listening.close()
        thread.join()


def ran(port: int, *command: str, flags: Sequence[str] = (), stdin: bytes = b"") -> Ran:
    access = ["-s", f"127.0.0.1:{port}", "-u", "admin", "-p", "secret"]
    return run_client([*access, *flags, *command], stdin)


def test_the_worked_example_as_bytes() -> None:
    with saying(BANNER, OK, b'+00100 OK\r\n"d1.test"\t"alice"\t"new3"\t"U"\r\n..x\r\n.\r\n', OK) as (
        port,
        heard,
    ):
        assert ran(port, "userlist", "d1.test", "alice") == Ran(
            0, '"d1.test"\t"alice"\t"new3"\t"U"\n.x\n', ""
        )
    assert heard == [
        b'"admin"\t"#92c601ac78c68253d6a253055e360d69"\r\n',
        b'"userlist"\t"d1.test"\t"alice"\r\n',
        b'"quit"\r\n',
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["noop"],
        ["-s", "h", "-u", "u", "-p", "p"],
        ["-s", "", "-u", "u", "-p", "p", "noop"],
        ["-s", "h", "-u", "u", "-p", "", "noop"],
        ["-s", "h", "-u", "u", "-p", "p", "-z", "noop"],
        ["-s", "h", "-u", "u", "-p", "p", "-", "noop"],
        ["-s", "h", "-u", "u", "-p"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    assert run_client(arguments) == Ran(3, "", USAGE.format(name="ctrlclnt"))


def test_the_usage_is_the_documents() -> None:
    lines = USAGE.format(name="ctrlclnt").splitlines()
    assert lines[0] == "use :  ctrlclnt  [-snuptfSLcKCXHD]  ..."
    assert lines[2] == "       -s server        = set server address"
    assert lines[6] == "       -t timeout       = set timeout [90000]"
    assert len(lines) == 16


def test_the_command_line() -> None:
    options = parse(
        [
            "-sx",
            "h",
            "-n",
            "7",
            "-u",
            "a",
            "-u",
            "b",
            "-p",
            "p",
            "-L",
            "-S",
            "-cfoo",
            "-D",
            "-t",
            "-1",
            "del",
            "-x",
        ],
        {"CTRL_KEY_FILE": "k", "CTRL_CERT_FILE": "c", "CTRL_CA_PATH": ""},
    )
    assert (options.server, options.port, options.user, options.tls, options.is_clear) == (
        "h",
        7,
        "b",
        "S",
        True,
    )
    assert (options.key, options.certificate, options.authorities_directory) == ("k", "c", None)
    assert (options.seconds, options.command) == (-1, ("del", "-x"))
    assert parse(["-s", "h", "-u", "u", "-p", "p", "x"], {}).seconds == 90
    with pytest.raises(BadUsage):
        parse(["-q", "-s", "h"], {})


@pytest.mark.parametrize(
    ("server", "address"),
    [("h", ("h", 1)), ("h:7", ("h", 7)), ("h|7", ("h", 7)), ("h;7", ("h", 7)), ("[h]:7", ("h", 7)),
     ("[::1]", ("::1", 1)), ("h:", ("h", 1))],
)  # fmt: skip
def test_where_the_server_is(server: str, address: tuple[str, int]) -> None:
    assert address_of(server, 1) == address


def test_addresses_that_are_none() -> None:
    access = ["-u", "u", "-p", "p", "noop"]
    assert run_client(["-s", "[::1]", *access]) == block(-40, "Invalid server address", "::1")
    assert run_client(["-s", "300.1.1.1:5", *access]) == block(-40, "Invalid server address", "300.1.1.1")
    assert run_client(["-s", "[h", *access]) == block(-40, "Invalid server address")
    with pytest.raises(Trouble):
        address_of("[h", 1)


def test_time_runs_out() -> None:
    with saying(BANNER, hangs=True) as (port, _):
        assert ran(port, "noop", flags=["-t", "0"]) == block(-5, "Timeout error")
        assert ran(port, "noop", flags=["-t", "x"]) == block(-5, "Timeout error")
        assert ran(port, "noop", flags=["-t", "1"]) == block(-152, "End of socket stream data")


def test_a_link_that_breaks_and_a_server_that_speaks_nonsense() -> None:
    with saying() as (port, _):
        assert ran(port, "noop") == block(-152, "End of socket stream data")
    with saying(b"220 mail ESMTP\r\n") as (port, _):
        assert ran(port, "noop") == block(-137, "Invalid controller response", "220 mail ESMTP")
    with saying(b"-00129 Server too busy, retry later\r\n") as (port, heard):
        assert ran(port, "noop") == block(-138, "Controller response error", "Server too busy, retry later")
    assert heard == []
    with saying(BANNER, hangs=True) as (port, _):
        assert ran(port, "noop", flags=["-L", "-t", "1"]) == block(
            -234, "Error establishing SSL connection (connect)"
        )


def test_lists_go_to_a_file(tmp_path: Path) -> None:
    target = tmp_path / "list"
    with saying(BANNER, OK, b"+00100 OK\r\na\r\nb\r\n.\r\n", OK) as (port, _):
        assert ran(port, "userlist", flags=["-f", str(target)]) == Ran(0, "", "")
    assert target.read_bytes() == b"a\nb\n"
    with saying(BANNER, OK, b"-00012 User not found\r\n", OK) as (port, _):
        assert ran(port, "userdel", "a", "b", flags=["-f", str(target)]).code == 4
    assert target.read_bytes() == b"a\nb\n"  # without a list it is not touched
    missing = str(tmp_path / "no" / "list")
    with saying(BANNER, OK, b"+00100 OK\r\na\r\n.\r\n", OK) as (port, heard):
        assert ran(port, "userlist", flags=["-f", missing]) == block(-10, "Unable to create file", missing)
    assert heard[-1] == b'"quit"\r\n'


def test_uploads_come_from_a_file(tmp_path: Path) -> None:
    source = tmp_path / "rules"
    source.write_bytes(b'"mailbox"\r\n.dot\r\n\nend\0cut\nlast')
    with saying(BANNER, OK, b"+00101 OK\r\n", b"", b"", b"", b"", b"", OK, OK) as (port, heard):
        assert ran(port, "usersetmproc", "d", "n", flags=["-f", str(source)]) == Ran(0, "", "")
    assert heard[2:8] == [b'"mailbox"\r\n', b"..dot\r\n", b"\r\n", b"end\r\n", b"last\r\n", b".\r\n"]
    missing = str(tmp_path / "missing")
    assert ran(1, "usersetmproc", "d", "n", flags=["-f", missing]) == block(
        -19, "Unable to open file", missing
    )
    with saying(BANNER, OK, b"+00101 OK\r\n", b"-00021 Unable to write file\r\n", OK) as (port, _):
        assert ran(port, "usersetmproc", "d", "n") == block(
            -138, "Controller response error", "Unable to write file"
        )


def test_lines_of_an_upload() -> None:
    assert lines_of(b"") == []
    assert lines_of(b"a\r\r\nb\n\n") == [b"a", b"b", b""]
    assert lines_of(b"a\0b\nc") == [b"a", b"c"]


def test_certificates_and_authorities_that_cannot_be_used(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    one = run_client(["-s", "127.0.0.1:1", "-u", "u", "-p", "p", "-L", "-K", missing, "noop"])
    assert one == Ran(4, "", "Either none or both private key and certificate file must be supplied\n")
    both = ran(1, "noop", flags=["-L", "-K", missing, "-C", missing])
    assert both == block(-235, "Error setting the SSL certificate file", missing)
    assert ran(1, "noop", flags=["-S", "-X", missing]) == block(-19, "Unable to open file", missing)


def test_what_no_argument_can_carry() -> None:
    # A line end would begin another command, with all the rights of the first.
    assert ran(1, "useradd", "d", 'n"\r\n"domaindel"\t"d', "p", "U") == block(
        -190, "Bad characters in command line"
    )


def test_the_command_as_a_program() -> None:
    with saying(BANNER, OK, b"-00012 User not found\r\n", OK) as (port, _):
        done = subprocess.run(
            [sys.executable, "-m", "postroad.bridges.jdmail.ctrlclnt", "-s", f"127.0.0.1:{port}", "-u",
             "admin", "-p", "secret", "userdel", "d1.test", "nobody"],
            capture_output=True, env=environment(), check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (4, b"")
    assert done.stderr == (
        b"ErrCode   = -138\nErrString = Controller response error\nErrInfo   = User not found\n"
    )
