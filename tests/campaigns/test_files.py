"""Files of contacts as people have them, read without a database."""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.campaigns.contacts.files.cells import addresses_in, birthday_in, phone_in
from postroad.campaigns.contacts.files.charset import charset_of, decoded
from postroad.campaigns.contacts.files.parsed import copy_row
from postroad.campaigns.contacts.files.reading import Options, Source, UnreadableFile, parse
from postroad.campaigns.contacts.values import Person, person, read_address

TABLE, ROWS = Options("table"), Options("rows")


def source(data: bytes, size: int = 7) -> Source:
    """The bytes in pieces that cut signs and line ends."""

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(data), size):
            yield data[start : start + size]

    return pieces


def rows_of(data: bytes, options: Options, size: int = 7) -> tuple[list[list[str]], list[tuple[int, str]]]:
    """The rows for COPY, taken apart, and the refused lines with their reasons."""
    rows, refused = [], []
    for parsed in parse(source(data, size), options):
        rows += [row.rstrip("\n").split("\t") for row in parsed.rows]
        refused += [(each.line, each.reason) for each in parsed.refused]
    return rows, refused


def addresses(data: bytes, options: Options) -> list[str]:
    return [row[1] for row in rows_of(data, options)[0]]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 4096])
@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_rows_in_every_charset_cut_anywhere(charset: str, size: int) -> None:
    text = "a@example.com;林晓;F;1986-08-10;139;北京;一\r\n\r\nb@example.com;囧\n"
    rows, refused = rows_of(text.encode(charset), ROWS, size)
    assert refused == []
    assert rows == [
        ["1", "a@example.com", "林晓", "F", "1986-08-10", "139", "北京", '{"一"}'],
        ["3", "b@example.com", "囧", "", "\\N", "", "", "{}"],
    ]


def test_rows_as_the_page_fixes_them() -> None:
    row = person(
        [
            " a@Example.COM ",
            " Ann ",
            "M",
            "1986-13-40",
            "1",
            "x",
            "1",
            "2",
            "3",
            "4",
            "5",
            "6",
            "7",
            "8",
            "9",
            "10",
            "11",
            "12",
        ]
    )
    assert row is not None
    assert (row.address, row.fullname, row.sex, row.birthday) == ("a@example.com", "Ann", "M", None)
    assert row.variables == (*"123456789", "10")
    forty = ";".join(["a@example.com", *map(str, range(39))]).encode()
    [cells], refused = rows_of(forty, ROWS)
    assert cells[-1].count(",") == 9
    assert refused == []


def test_one_line_of_twenty_megabytes_costs_one_line() -> None:
    data = b"a@example.com\n" + b"x" * 20_000_000 + b"\nb@example.com"
    rows, refused = rows_of(data, ROWS, 1 << 20)
    assert [row[1] for row in rows] == ["a@example.com", "b@example.com"]
    assert refused == [(2, "too-long")]
    assert rows_of(data, TABLE, 1 << 20)[1] == [(2, "too-long")]


def test_what_is_no_text_is_refused_or_dropped() -> None:
    assert rows_of(b"a\x00@example.com\nb@example.com;B\x00b", ROWS)[0][0][2] == "Bb"
    for data, options in (
        (b"", ROWS),
        (b"PK\x03\x04junk", ROWS),
        (b"PK\x03\x04junk", TABLE),
        (b"\x00\xff\xfe\x81" * 50, ROWS),
    ):
        with pytest.raises(UnreadableFile):
            rows_of(data, options)


def test_tables_with_quotes_separators_and_headers() -> None:
    row = '"Li; ""Lei""\r\nzwei";li@example.com;1.3528775736E+10'
    excel = f'sep=;\r\n"Name";"E-Mail";"手机"\r\n{row}\r\n'.encode()
    [cells], refused = rows_of(excel, TABLE)
    assert cells[:6] == ["3", "li@example.com", 'Li; "Lei"\\nzwei', "", "\\N", "13528775736"]
    assert refused == []
    for separator in (",", "\t", "|", ";"):
        text = (
            separator.join(["Ann", "a@example.com", "x"])
            + "\n"
            + separator.join(["Bob", "b@example.com", "y"])
        )
        assert addresses(text.encode(), TABLE) == ["a@example.com", "b@example.com"]
    quoteless = b'email,name\na@example.com,"never closed\n' + b"".join(
        b"b%d@example.com,x\n" % number for number in range(200)
    )
    assert len(addresses(quoteless, TABLE)) == 201
    mapped = Options("table", None, {"address": "3", "fullname": "Kunde"})
    [cells], _ = rows_of(b"Kunde,x,Post\nAnn,1,a@example.com\n", mapped)
    assert cells[1:3] == ["a@example.com", "Ann"]
    with pytest.raises(UnreadableFile):
        rows_of(b"a,b\n1,a@example.com\n", Options("table", None, {"address": "Nowhere"}))


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        (" a@example.com ", ["a@example.com"]),
        ("a＠example．com", ["a@example.com"]),
        ("mailto:a@example.com", ["a@example.com"]),
        ("Ann <a@example.com>", ["a@example.com"]),
        ("a@example.com；b@example.com, c@example.com", ["a@example.com", "b@example.com", "c@example.com"]),
        ("a@example.com A@EXAMPLE.com", ["a@example.com"]),
        ("'a@example.com'", ["a@example.com"]),
        ("nobody", []),
        ("a@b@c", []),
        ("a@localhost", []),
        ("", []),
    ],
)
def test_addresses_in_cells(cell: str, found: list[str]) -> None:
    assert [each.address for each in addresses_in(cell)] == found


def test_phones_and_birthdays_in_cells() -> None:
    assert phone_in("1.3528775736E+10") == "13528775736"
    assert phone_in("1.35E+10") == ""
    assert phone_in("13528775736.0") == "13528775736"
    assert phone_in("+86 135") == "+86 135"
    assert birthday_in("31634") == date(1986, 8, 10)
    assert birthday_in("1986/8/10") == birthday_in("1986年8月10日") == date(1986, 8, 10)
    assert birthday_in("10") is birthday_in("0000-00-00") is birthday_in("soon") is None


def test_workbooks_are_read_and_bombs_are_not(tmp_path: Path) -> None:
    book = tmp_path / "people.xlsx"
    write_workbook(book, [["邮箱", "姓名", "手机"], ["a@example.com", "林", 13528775736], ["nobody", "x", 1]])
    rows, refused = rows_of(book.read_bytes(), TABLE, 65536)
    assert [row[1:3] + row[5:6] for row in rows] == [["a@example.com", "林", "13528775736"]]
    assert refused == [(3, "no-address")]
    bomb = tmp_path / "bomb.xlsx"
    # Two cells at the far ends of a sheet, which is a table of 17 thousand million.
    far = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, zipfile.ZipFile(book) as good:
        for name in good.namelist():
            content = good.read(name).decode()
            archive.writestr(
                name, re.sub(r"<sheetData>.*", f"<sheetData>{far}</sheetData></worksheet>", content)
            )
    with pytest.raises(UnreadableFile):
        rows_of(bomb.read_bytes(), TABLE, 65536)


def write_workbook(path: Path, rows: list[list[object]]) -> None:
    """The least that is a workbook."""
    cells = "".join(
        "<row>"
        + "".join(
            f"<c><v>{cell}</v></c>"
            if isinstance(cell, int)
            else f'<c t="inlineStr"><is><t>{cell}</t></is></c>'
            for cell in row
        )
        + "</row>"
        for row in rows
    )
    space = "http://schemas.openxmlformats.org"
    document = f"{space}/officeDocument/2006/relationships"
    main, packed = f"{space}/spreadsheetml/2006/main", f"{space}/package/2006"

    def relation(kind: str, target: str) -> str:
        to = f'<Relationship Id="r1" Type="{document}/{kind}" Target="{target}"/>'
        return f'<Relationships xmlns="{packed}/relationships">{to}</Relationships>'

    sheets = '<sheets><sheet name="S" sheetId="1" r:id="r1"/></sheets>'
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{packed}/content-types"/>',
        "_rels/.rels": relation("officeDocument", "xl/workbook.xml"),
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{document}">{sheets}</workbook>',
        "xl/_rels/workbook.xml.rels": relation("worksheet", "worksheets/sheet1.xml"),
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{cells}</sheetData></worksheet>',
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


@given(st.binary(max_size=300), st.integers(1, 40), st.sampled_from([TABLE, ROWS]))
def test_any_bytes_are_read_or_refused(data: bytes, size: int, options: Options) -> None:
    if data[:4] in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
        return
    try:
        rows, _ = rows_of(data, options, size)
    except UnreadableFile:
        return
    assert all(len(row) == 8 for row in rows)


@given(st.text(max_size=60), st.lists(st.text(max_size=10), max_size=10))
def test_copy_rows_hold_one_line_and_eight_columns(text: str, variables: list[str]) -> None:
    row = copy_row(1, Person("a@example.com", text, "", None, text, text, tuple(variables)))
    assert row.count("\n") == 1
    assert row.endswith("\n")
    assert row.count("\t") == 7


@given(st.text(max_size=80))
def test_what_is_read_as_an_address_is_one(text: str) -> None:
    found = read_address(text)
    if found is not None:
        assert found.count("@") >= 1
        assert read_address(found) == found


@given(st.text(max_size=200), st.sampled_from(["utf-8", "gb18030", "utf-8-sig"]), st.integers(1, 9))
def test_charsets_are_found_out(text: str, charset: str, size: int) -> None:
    data = text.encode(charset, "ignore")
    found = charset_of(source(data, size)())
    assert found.is_certain
    if charset != "gb18030" and not text.startswith("\ufeff"):
        read = "".join(piece for piece, _ in decoded(source(data, size)(), found.name))
        assert read == data.decode(charset)


CELLS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(
        ["a@example.com", "M", "f", "", " ", "1986-08-10", "1986-08-31", "2000-13-01", "x\u3000", '"', "\\"]
    ),
)


@given(st.lists(CELLS, max_size=20), st.sampled_from(["", "\r", ";", ";;"]))
def test_plain_lines_are_read_as_careful_ones_are(cells: list[str], end: str) -> None:
    line = ";".join(["Ann.b+1@mail7.example", *cells]).replace("\n", "") + end
    data = line.encode("utf-8", "ignore")
    [expected] = [person(data.decode().split(";", 16))]
    assert expected is not None
    [parsed] = [each for each in parse(source(data, 4096), ROWS) if each.total]
    assert parsed.rows == [copy_row(1, expected)]


def test_an_export_is_an_import(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    with file.open("w", encoding="utf-8", newline="") as target:
        csv.writer(target).writerows([["address", "fullname"], ["a@example.com", 'Li, "Lei"\nzwei']])
    [row], _ = rows_of(file.read_bytes(), TABLE)
    assert row[1:3] == ["a@example.com", 'Li, "Lei"\\nzwei']
