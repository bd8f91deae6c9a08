"""Files of the demo are what their names say, as independent readers see them."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from xml.etree import ElementTree

from postroad.demo.attachments import archive, bar_chart, hills, pdf, png, seal, spreadsheet


def test_a_pdf_has_a_table_of_its_objects_at_the_right_places() -> None:
    made = pdf("Title (1)", ["one", "two \\ three"])
    start = int(re.findall(rb"startxref\n(\d+)", made)[0])
    assert made[start:].startswith(b"xref\n")
    for number, line in enumerate(re.findall(rb"(\d{10}) 00000 n", made[start:]), 1):
        assert made[int(line) :].startswith(b"%d 0 obj" % number)
    assert b"(Title \\(1\\)) Tj" in made


def test_a_spreadsheet_is_a_package_of_sound_xml() -> None:
    made = spreadsheet("毛利", [["品名", "价格"], ["龙井 & 白茶", 92.5]])
    with zipfile.ZipFile(io.BytesIO(made)) as package:
        assert package.testzip() is None
        trees = {name: ElementTree.fromstring(package.read(name)) for name in package.namelist()}
    sheet = trees["xl/worksheets/sheet1.xml"]
    assert "龙井 & 白茶" in "".join(sheet.itertext())
    assert "92.5" in "".join(sheet.itertext())


def test_a_picture_holds_every_row() -> None:
    for made in (png(3, 2, lambda x, y: (x, y, 7)), hills(40, 30), seal(20), bar_chart((1, 2, 3), 60, 90)):
        assert made.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", made[16:24])
        data = made[made.index(b"IDAT") + 4 :]
        assert len(zlib.decompressobj().decompress(data)) == height * (1 + 3 * width)


def test_an_archive_is_the_same_bytes_every_time() -> None:
    files = {"说明.txt": "你好".encode(), "a.csv": b"1,2\r\n"}
    assert archive(files) == archive(files)
    with zipfile.ZipFile(io.BytesIO(archive(files))) as package:
        assert package.read("说明.txt").decode() == "你好"
