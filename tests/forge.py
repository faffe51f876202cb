"""Forges documents, honest and hostile, byte by byte: a test says what it wants and reads what it gets."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from html import escape

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
BILLION_LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE z [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True))
    + "]><z>&j;</z>"
)


Set = str | tuple[float, float, float, str] | bytes


def pdf(pages: Sequence[Sequence[Set]], *, title: str = "", form: bytes = b"", drawn: bool = False) -> bytes:
    """A PDF. A line is a text, set below the one before, (left, from the bottom, size, text), or operators.

    Operators find the font /F1, the graphics state /Clear (opacity 0) and the form /Form. Where the font is
    `drawn` (Type 3), as browsers print, only the ink tells how high it is.
    """
    objects: list[bytes] = []

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    helvetica = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
    font = _drawn(add) if drawn else add(helvetica)
    head = b"<< /Type /XObject /Subtype /Form /BBox [0 0 612 792] "
    head += b"/Resources << /Font << /F1 %d 0 R >> >> " % font
    shape = add(head + b"/Length %d >>\nstream\n%s\nendstream" % (len(form), form))
    tree = len(objects) + 2 * len(pages) + 1
    kids = []
    for lines in pages:
        content = _content(lines, shift=128 if drawn else 0)
        stream = add(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content))
        kids.append(
            add(
                b"<< /Type /Page /Parent %d 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
                b"/Resources << /Font << /F1 %d 0 R >> /XObject << /Form %d 0 R >> "
                b"/ExtGState << /Clear << /ca 0 >> >> >> >>" % (tree, stream, font, shape)
            )
        )
    add(b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(kids), b" ".join(b"%d 0 R" % kid for kid in kids)))
    catalog = add(b"<< /Type /Catalog /Pages %d 0 R >>" % tree)
    info = add(b"<< /Title (%s) >>" % _escaped(title))
    return _assembled(objects, root=catalog, info=info)


def _drawn(add: Callable[[bytes], int]) -> int:
    """A font whose letters are boxes, some higher than others, upside down as Chromium has it; of X no ink.

    Its codes are 128 above those of ASCII: an engine that asks how high "A" is finds none.
    """
    glyphs = []
    for code in range(33, 127):
        top, low = 700 if chr(code) in "bdfhklti" or code < 97 else 450, -200 if chr(code) in "gjpqy," else 0
        top = low if chr(code) == "X" else top
        ink = b"500 0 0 %d 450 %d d1 0 %d 450 %d re f" % (-low, -top, -top, top - low)
        glyphs.append(add(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(ink), ink)))
    names = b" ".join(b"/g%d" % code for code in range(33, 127))
    procs = b" ".join(b"/g%d %d 0 R" % (code, glyph) for code, glyph in enumerate(glyphs, 33))
    told = b"begincmap 1 begincodespacerange <00> <ff> endcodespacerange 94 beginbfchar\n"
    told += b"".join(b"<%02x> <%04x>\n" % (code + 128, code) for code in range(33, 127))
    told += b"endbfchar endcmap"
    unicode = add(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(told), told))
    return add(
        b"<< /Type /Font /Subtype /Type3 /FontBBox [0 5 0 5] /FontMatrix [.001 0 0 -.001 0 0] "
        b"/FirstChar 160 /LastChar 254 /Widths [%s] /Encoding << /Differences [161 %s] >> "
        b"/CharProcs << %s >> /ToUnicode %d 0 R >>" % (b"500 " * 95, names, procs, unicode)
    )


def _content(lines: Sequence[Set], *, shift: int) -> bytes:
    pieces = []
    y = 720.0
    for line in lines:
        if isinstance(line, bytes):
            pieces.append(line)
            continue
        left, bottom, size, text = (72.0, y, 12.0, line) if isinstance(line, str) else line
        told = bytes(code + shift for code in text.encode()) if shift else _escaped(text)
        pieces.append(b"BT /F1 %g Tf %g %g Td (%s) Tj ET" % (size, left, bottom, told))
        y = bottom - 1.2 * size
    return b"\n".join(pieces)


def show(text: str, *, left: float = 72, bottom: float = 500, size: float = 12, before: str = "") -> bytes:
    """PDF operators that show a text, `before` them what paints it otherwise."""
    return b"q %s BT /F1 %g Tf %g %g Td (%s) Tj ET Q" % (before.encode(), size, left, bottom, _escaped(text))


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
            # A fixed time: the same files are the same bytes.
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
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


def entity(path: str) -> str:
    """XML that would show the file at `path`, were entities resolved."""
    return f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY leak SYSTEM "file://{path}">]><x><t>&leak;</t></x>'


EXTERNAL_DTD = (
    '<?xml version="1.0"?><!DOCTYPE x SYSTEM "file:///etc/passwd" '
    '[<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>'
    f'<w:document xmlns:w="{WORD}"><w:body/></w:document>'
)


def flate_bomb(megabytes: int) -> bytes:
    """A PDF whose page inflates to so many megabytes of spaces, about a thousand to one."""
    packed = zlib.compress(b" " * (megabytes << 20), 9)
    stream = b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed)
    page = b"<< /Type /Page /Parent 3 0 R /MediaBox [0 0 9 9] /Contents 1 0 R >>"
    tree = b"<< /Type /Pages /Count 1 /Kids [2 0 R] >>"
    return _assembled([stream, page, tree, b"<< /Type /Catalog /Pages 3 0 R >>", b"<< >>"], root=4, info=5)
