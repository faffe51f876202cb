"""The first bytes and the name of a file -> its format, and the reader for it.

Bytes decide before names: a name is a claim. Names decide only among text formats, which look alike.
"""

from __future__ import annotations

import contextlib
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import PurePath

from appliance.errors import NeedsPassword, ParseError, Unsupported
from appliance.ingest.parse import asciidoc, delimited, docx, html, markdown, mdx, pdf, plain, rst
from appliance.ingest.parse.blocks import Blocks, Bounds, Full
from appliance.types import Parsed

Reader = Callable[[bytes, Blocks], None]

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"7z\xbc\xaf\x27\x1c", "7-Zip archive"),
    (b"\x1f\x8b", "gzip archive"),
    (b"BZh", "bzip2 archive"),
    (b"\xfd7zXZ\x00", "xz archive"),
    (b"\x28\xb5\x2f\xfd", "Zstandard archive"),
    (b"Rar!\x1a\x07", "RAR archive"),
    (b"{\\rtf", "RTF document"),
    (b"%!PS", "PostScript document"),
    (b"\x89PNG", "PNG image"),
    (b"\xff\xd8\xff", "JPEG image"),
    (b"GIF8", "GIF image"),
    (b"II*\x00", "TIFF image"),
    (b"MM\x00*", "TIFF image"),
    (b"\x7fELF", "program"),
    (b"MZ", "program"),
    (b"SQLite format 3\x00", "SQLite database"),
    (b"GGUF", "GGUF model"),
)
_OPEN_DOCUMENT = {"text": "OpenDocument text", "spreadsheet": "OpenDocument spreadsheet"}
_OFFICE = {"xl/": "Excel workbook", "ppt/": "PowerPoint presentation", "visio/": "Visio drawing"}
_BY_SUFFIX: dict[str, Reader] = {
    ".md": markdown.read,
    ".markdown": markdown.read,
    ".mkd": markdown.read,
    ".mdx": mdx.read,
    ".adoc": asciidoc.read,
    ".asciidoc": asciidoc.read,
    ".rst": rst.read,
    ".rest": rst.read,
    ".csv": delimited.read,
    ".tsv": delimited.read,
    ".tab": delimited.read,
    ".html": html.read,
    ".htm": html.read,
    ".xhtml": html.read,
}
_LOOKS_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
_MARKDOWN_HEADING = re.compile(rb"^#{1,6} \w", re.M)
_ASCIIDOC_HEADING = re.compile(rb"^={2,6} \w", re.M)
_TEXT_CONTROLS = frozenset(b"\t\n\r\f\v\b\x1b\x1a")


def parse(data: bytes, name: str, bounds: Bounds) -> Parsed:
    """Parse the file `data` that is called `name`.

    Raises:
        ParseError: it cannot be read; the subclass says why.
    """
    out = Blocks(bounds)
    with contextlib.suppress(Full):  # `out.lost` says so
        reader_of(data, name)(data, out)
    return out.done(_readable(name))


def reader_of(data: bytes, name: str) -> Reader:
    """Choose the reader.

    Raises:
        Unsupported: no reader knows the format; the message names it.
        NeedsPassword: it is an encrypted Office file.
    """
    head = data[:4096]
    if b"%PDF-" in head[:1024]:
        return pdf.read
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")):
        return _in_zip(data)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return _in_ole(data)
    for magic, kind in _MAGIC:
        if head.startswith(magic) and not (kind == "program" and is_text(data)):
            raise Unsupported(f"This is a {kind}, which no parser here reads.")
    if head[257:262] == b"ustar":
        raise Unsupported("This is a tar archive, which no parser here reads; add the files in it.")
    suffix = PurePath(name).suffix.lower()
    if not is_text(data):
        if suffix == ".pdf":
            raise ParseError("This is a damaged PDF, or none: its first kilobyte does not say what it is.")
        raise Unsupported("This is binary data of no known kind.")
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    return _by_looks(data, suffix)


def _by_looks(data: bytes, suffix: str) -> Reader:
    if suffix in (".txt", "") and _looks_markdown(data):
        return markdown.read
    if suffix in (".txt", "") and _looks_asciidoc(data):
        return asciidoc.read
    return html.read if _LOOKS_HTML.match(data[:4096]) else plain.read


def _looks_markdown(data: bytes) -> bool:
    """Tell whether headings stand in it; one "#" alone is a script's comment as well."""
    return len(_MARKDOWN_HEADING.findall(data[:65536])) > 1 and b"\n## " in data and b"\f" not in data


def _looks_asciidoc(data: bytes) -> bool:
    return len(_ASCIIDOC_HEADING.findall(data[:65536])) > 1 and b"\f" not in data


def is_text(data: bytes) -> bool:
    """Tell whether `data` looks like text: no stray control bytes, but for UTF-16 and UTF-32 with a mark."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    sample = data[:65536]
    strange = sum(byte < 32 and byte not in _TEXT_CONTROLS for byte in sample)
    # A text may hold a stray control character; a binary file holds them by the dozen, and zeros.
    return strange <= len(sample) // 1000 and b"\x00" not in sample


def _in_zip(data: bytes) -> Reader:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            kind = _open_document(archive) if "mimetype" in names else ""
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError):
        # Truncated: what can be read says what it was meant to be.
        if b"word/" in data or b"[Content_Types].xml" in data[:200]:
            raise ParseError(
                "This is a damaged Office document: its directory is missing or broken."
            ) from None
        raise ParseError("This is a damaged zip archive: its directory is missing or broken.") from None
    if any(name.startswith("word/") for name in names):
        return docx.read
    for prefix, office in _OFFICE.items():
        if any(name.startswith(prefix) for name in names):
            kind = office
    raise Unsupported(f"This is {_with_article(kind or 'zip archive')}, which no parser here reads.")


def _open_document(archive: zipfile.ZipFile) -> str:
    with archive.open("mimetype") as file:
        mime = file.read(100).decode("ascii", "replace")
    if mime == "application/epub+zip":
        return "EPUB book"
    return _OPEN_DOCUMENT.get(mime.rpartition(".")[2], "OpenDocument file")


def _in_ole(data: bytes) -> Reader:
    # MS-OFFCRYPTO: an encrypted OOXML file is an OLE container with these two streams.
    if "EncryptedPackage".encode("utf-16-le") in data:
        raise NeedsPassword("This Office document is encrypted and needs a password.")
    for stream, kind in (("WordDocument", "Word 97-2003 document"), ("Workbook", "Excel 97-2003 workbook")):
        if stream.encode("utf-16-le") in data:
            raise Unsupported(
                f"This is {_with_article(kind)}, which no parser here reads; save it as DOCX or PDF."
            )
    raise Unsupported("This is an OLE container (an old Office file), which no parser here reads.")


def _with_article(kind: str) -> str:
    return f"{'an' if kind[0] in 'AEIO' else 'a'} {kind}"


def _readable(name: str) -> str:
    return re.sub(r"[\s_]+", " ", PurePath(name).stem).strip() or name
