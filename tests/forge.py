"""Forges documents, honest and hostile, byte by byte: a test says what it wants and reads what it gets."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Sequence
from html import escape

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
BILLION_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE z [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    + "]><z>&j;</z>"
)


def pdf(pages: Sequence[Sequence[str | tuple[float, float, float, str]]], *, title: str = "") -> bytes:
    """A PDF. A line is a text, set below the one before, or (left, from the bottom, size, text)."""
    objects: list[bytes] = []

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    font = add(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    tree = len(objects) + 2 * len(pages) + 1
    kids = []
    for lines in pages:
        content = _content(lines)
        stream = add(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
        kids.append(
            add(
                b"<< /Type /Page /Parent %d 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
                b"/Resources << /Font << /F1 %d 0 R >> >> >>" % (tree, stream, font)
            )
        )
    add(b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(kids), b" ".join(b"%d 0 R" % kid for kid in kids)))
    catalog = add(b"<< /Type /Catalog /Pages %d 0 R >>" % tree)
    info = add(b"<< /Title (%s) >>" % _escaped(title))
    return _assembled(objects, root=catalog, info=info)


def _content(lines: Sequence[str | tuple[float, float, float, str]]) -> bytes:
    pieces = []
    y = 720.0
    for line in lines:
        left, bottom, size, text = (72.0, y, 12.0, line) if isinstance(line, str) else line
        pieces.append(b"BT /F1 %g Tf %g %g Td (%s) Tj ET" % (size, left, bottom, _escaped(text)))
        y = bottom - 1.2 * size
    return b"\n".join(pieces)


def _escaped(text: str) -> bytes:
    return text.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _assembled(objects: list[bytes], *, root: int, info: int) -> bytes:
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root %d 0 R /Info %d 0 R >>\n" % (len(objects) + 1, root, info)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % start)


def docx(body: str, *, parts: dict[str, str] | None = None) -> bytes:
    """A DOCX whose w:body holds `body`; `parts` adds or replaces parts by name."""
    files = {
        "[Content_Types].xml": "<Types xmlns='http://schemas.openxmlformats.org/package/2006/content-types'/>",
        "word/document.xml": f'<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>',
    }
    return zipped({name: text.encode() for name, text in {**files, **(parts or {})}.items()})


def paragraph(text: str, *, style: str = "", extra: str = "") -> str:
    """A w:p with one run; `extra` goes in front of its text."""
    mark = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{mark}<w:r>{extra}<w:t>{escape(text)}</w:t></w:r></w:p>"


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def docx_bomb(megabytes: int) -> bytes:
    """A DOCX whose text inflates to so many megabytes of spaces, about a thousand to one."""
    xml = f'<w:document xmlns:w="{WORD}"><w:body><w:p><w:r><w:t>'.encode() + b" " * (megabytes << 20)
    return zipped({"word/document.xml": xml + b"</w:t></w:r></w:p></w:body></w:document>"})


def lying(archive: bytes, *, size: int) -> bytes:
    """The archive, its directory and headers claiming that each part inflates to `size` bytes."""
    data = bytearray(archive)
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = data.find(mark)
        while at >= 0:
            struct.pack_into("<I", data, at + offset, size)
            at = data.find(mark, at + 4)
    return bytes(data)


def xxe(path: str) -> bytes:
    """A DOCX that would show the file at `path`, were entities resolved."""
    document = (
        f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY leak SYSTEM "file://{path}">]>'
        f'<w:document xmlns:w="{WORD}"><w:body>{paragraph("before")}'
        "<w:p><w:r><w:t>&leak;</w:t></w:r></w:p></w:body></w:document>"
    )
    return docx("", parts={"word/document.xml": document})
