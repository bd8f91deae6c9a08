"""Files that hang on demo mails, made here byte by byte: a PDF, a spreadsheet, an archive, pictures.

Pure functions; the same input gives the same bytes. PDF: ISO 32000-1; PNG: RFC 2083; xlsx: ECMA-376.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

_ZIP_TIME = (2026, 1, 1, 9, 0, 0)  # a fixed time, so that the same content gives the same bytes
_PAGE_TOP = 780

Colour = tuple[int, int, int]


def pdf(title: str, lines: Sequence[str]) -> bytes:
    """A page of A4 with a headline and lines of text (Latin letters)."""
    text = [f"BT /F2 20 Tf 60 {_PAGE_TOP} Td ({_pdf_text(title)}) Tj ET"]
    text += [
        f"BT /F1 11 Tf 60 {_PAGE_TOP - 40 - 18 * number} Td ({_pdf_text(line)}) Tj ET"
        for number, line in enumerate(lines)
    ]
    text.append(f"0.2 0.5 0.4 RG 60 {_PAGE_TOP - 12} m 535 {_PAGE_TOP - 12} l S")
    stream = "\n".join(text).encode("latin-1", "replace")
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /{} /Encoding /WinAnsiEncoding >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R /F2 6 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        font.format("Helvetica").encode(),
        font.format("Helvetica-Bold").encode(),
    ]
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def _pdf_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def spreadsheet(sheet: str, rows: Sequence[Sequence[str | float]]) -> bytes:
    """A workbook of one sheet; numbers stay numbers."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    table = "".join(
        f'<row r="{number}">' + "".join(_cell(cell) for cell in row) + "</row>"
        for number, row in enumerate(rows, 1)
    )
    files = {
        "[Content_Types].xml": f'<Types xmlns="{package}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/>'
        f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="rId1" Type="{relations}/officeDocument" Target="xl/workbook.xml"/>'
        "</Relationships>",
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{relations}"><sheets>'
        f'<sheet name="{escape(sheet)}" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}/relationships">'
        f'<Relationship Id="rId1" Type="{relations}/worksheet" Target="worksheets/sheet1.xml"/>'
        "</Relationships>",
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{table}</sheetData></worksheet>',
    }
    declared = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
    return archive({name: (declared + text).encode() for name, text in files.items()})


def _cell(value: str | float) -> str:
    if isinstance(value, str):
        return f'<c t="inlineStr"><is><t>{escape(value)}</t></is></c>'
    return f"<c><v>{value}</v></c>"


def archive(files: dict[str, bytes]) -> bytes:
    """A ZIP file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            target.writestr(zipfile.ZipInfo(name, _ZIP_TIME), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def bar_chart(values: Sequence[int], width: int = 560, height: int = 260) -> bytes:
    """A PNG with one bar a value, the tallest filling the height."""
    step = width // len(values)
    tallest = max(values)

    def pixel(x: int, y: int) -> Colour:
        column, inside = divmod(x, step)
        above = height - 20 - y
        if y >= height - 20:
            return (226, 232, 228)
        if column < len(values) and step // 5 <= inside < step - step // 5:
            top = values[column] * (height - 50) // tallest
            if 0 <= above < top:
                shade = 40 * above // max(top, 1)
                return (30 + shade, 110 + shade, 86 + shade)
        return (236, 240, 237) if above % 50 == 0 else (255, 255, 255)

    return png(width, height, pixel)


def hills(width: int = 480, height: int = 270) -> bytes:
    """A PNG that passes for a photograph of tea terraces in the morning."""

    def pixel(x: int, y: int) -> Colour:
        ridge = 90 + abs((x * 3 // 4) % 160 - 80) // 2
        if y < ridge:
            glow = 255 - (ridge - y)
            return (max(glow - 10, 120), max(glow - 25, 130), max(glow - 60, 140))
        terrace = (y - ridge + x // 9) % 22
        green = 118 + terrace * 2 - (y - ridge) // 5
        return (max(green - 62, 20), max(green, 50), max(green - 70, 24))

    return png(width, height, pixel)


def seal(size: int = 96) -> bytes:
    """A small PNG for a signature: a green disc with a lighter leaf."""

    def pixel(x: int, y: int) -> Colour:
        across, down = x - size // 2, y - size // 2
        if across * across + down * down > (size // 2 - 2) ** 2:
            return (255, 255, 255)
        leaf = (across - down) ** 2 * 3 + (across + down) ** 2 // 2
        return (222, 240, 214) if leaf < (size // 2) ** 2 * 0.7 else (38, 112, 84)

    return png(size, size, pixel)


def png(width: int, height: int, pixel: Callable[[int, int], Colour]) -> bytes:
    """An RGB picture of 8 bits a channel, `pixel` giving the colour at (x, y)."""
    rows = b"".join(
        b"\0" + bytes(channel for x in range(width) for channel in pixel(x, y)) for y in range(height)
    )
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + _chunk(b"IDAT", zlib.compress(rows, 9))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
