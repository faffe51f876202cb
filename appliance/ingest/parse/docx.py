"""DOCX -> blocks: a zip read with a counter, and WordprocessingML read without entities.

Elements are told apart by their local name, so that the strict and the transitional dialect read alike.
Sources: ECMA-376 part 1 (paragraphs 17.3, styles 17.7, numbering 17.9, tables 17.4).
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import IO
from xml.etree.ElementTree import Element
from xml.etree.ElementTree import ParseError as BrokenXml

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from appliance.errors import LimitExceeded, NeedsPassword, ParseError
from appliance.ingest.parse import docx_hidden
from appliance.ingest.parse.blocks import BULLET, Blocks, Bounds, one_line
from appliance.ingest.parse.docx_styles import Numbering, Styles, attribute, child, local, whole
from appliance.types import BlockKind

_MAIN = "word/document.xml"
_SMALL = 1_000_000
"""Bytes; a part that is not larger may be packed as tightly as it likes."""
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, EOFError)
_SKIPPED = frozenset(
    ("Fallback", "del", "moveFrom", "instrText", "delText", "pPr", "rPr", "sectPr", "tblPr", "tblGrid")
)
_LOWEST, _BOLD_MOST = 9, 80
_TELLS = re.compile(r":\s+\S|^\W*(?:warning|caution|danger|note|notice|important)\b|(?<=\D)\d", re.I)
"""What a bold line says that is a fact or a warning, and no heading: no passage would hold it."""
_BREAKS = {"tab": "\t", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}


def read(data: bytes, out: Blocks) -> None:
    """Read a DOCX document.

    Raises:
        LimitExceeded: it would inflate to more than a document may, or beyond the ratio of a bomb.
        NeedsPassword: its parts are encrypted.
        ParseError: a part is missing or broken.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _refuse_bomb(archive, out.bounds)
            package = _Package(archive, out.bounds)
            _Document(package, out).read()
    except (*_BROKEN_ZIP, OSError) as error:
        raise ParseError("The DOCX is damaged: its archive cannot be read.") from error
    except BrokenXml as error:
        raise ParseError("The DOCX is damaged: its text is not well-formed XML.") from error
    except DefusedXmlException as error:
        raise ParseError(
            "The DOCX was refused: it declares XML entities, which no Office program does."
        ) from error


def _refuse_bomb(archive: zipfile.ZipFile, bounds: Bounds) -> None:
    total = 0
    for part in archive.infolist():
        if part.flag_bits & 1:
            raise NeedsPassword("The DOCX is encrypted and needs a password.")
        total += part.file_size
        if part.file_size > max(_SMALL, bounds.ratio * part.compress_size):
            raise LimitExceeded(f"The DOCX holds a part packed more than {bounds.ratio}:1, as bombs are.")
    if total > bounds.inflated:
        raise LimitExceeded(f"The DOCX would unpack to more than {bounds.inflated // 1_000_000} MB.")


class _Package:
    """Reads parts of the archive, counting what they inflate to: the directory may lie."""

    def __init__(self, archive: zipfile.ZipFile, bounds: Bounds) -> None:
        self._archive = archive
        self._bounds = bounds
        self._left = bounds.inflated
        self.names = archive.namelist()

    def xml(self, name: str) -> Element | None:
        """Return the root of a part, None where there is no such part."""
        if name not in self.names:
            return None
        root: Element = defusedxml.ElementTree.fromstring(self._inflate(name), forbid_dtd=True)
        return root

    def _inflate(self, name: str) -> bytes:
        try:
            with self._archive.open(name) as file:
                return b"".join(self._pieces(file, self._archive.getinfo(name).compress_size))
        except ValueError as error:  # a directory that leads in front of the file: "negative seek value"
            raise zipfile.BadZipFile(str(error)) from error

    def _pieces(self, file: IO[bytes], packed: int) -> Iterator[bytes]:
        most = max(_SMALL, self._bounds.ratio * packed)
        read = 0
        while piece := file.read(1 << 20):
            read += len(piece)
            if read > min(most, self._left):
                raise LimitExceeded("The DOCX unpacks to more than its directory says.")
            yield piece
        self._left -= read


class _Document:
    """Walks the body in order, counting pages where Word has left their breaks."""

    def __init__(self, package: _Package, out: Blocks) -> None:
        self._package = package
        self._out = out
        root = package.xml(_MAIN)
        if root is None:
            raise ParseError("The DOCX has no main text.")
        self._root = root
        self._styles = Styles(package.xml("word/styles.xml"))
        self._numbering = Numbering(package.xml("word/numbering.xml"))
        self._paged = any(local(element) == "lastRenderedPageBreak" for element in root.iter())
        self._page = 1
        self._broken = False
        self._notes = _notes(package, self._styles, out)
        # A page of a colour of its own, or a picture behind the text: who knows what is seen on it.
        bare = child(root, "background") is None and not any(_is_behind(element) for element in root.iter())
        self._paper = docx_hidden.WHITE if bare else None
        self._ground = self._paper
        self._setting = docx_hidden.Setting((), self._ground)
        self._boxed = False
        self._perhaps: dict[int, BlockKind] = {}
        """The places of blocks that are headings in all but name, and what else they would be."""

    def read(self) -> None:
        """Fill the blocks."""
        self._set_title()
        for body in self._root:
            self._blocks(body)
        self._demote()
        self._margins()
        self._out.pages = min(self._page, self._out.bounds.pages) if self._paged else None

    def _demote(self) -> None:
        """Take back the headings in all but name that follow each other with nothing beneath: bold steps."""
        blocks = self._out.blocks
        levels = {at: blocks[at].level for at in self._perhaps if at < len(blocks)}
        for at, level in levels.items():
            if level in (levels.get(at - 1), levels.get(at + 1)):
                blocks[at] = replace(blocks[at], kind=self._perhaps[at], level=0)

    def _set_title(self) -> None:
        core = self._package.xml("docProps/core.xml")
        if core is not None:
            self._out.title = next((one_line(item.text or "") for item in core if local(item) == "title"), "")

    def _blocks(self, parent: Element) -> None:
        for element in parent:
            name = local(element)
            if name == "p":
                self._paragraph(element)
            elif name == "tbl":
                self._table(element)
            elif name not in _SKIPPED:
                self._blocks(element)  # content controls, custom XML, tracked insertions

    def _paragraph(self, element: Element) -> None:
        begins = self._page
        text = self._text(element).strip()
        page = self._at(begins if self._page == begins or not text else self._first_page)
        style = attribute(child(element, "pPr", "pStyle"), "val")
        kind, level = self._styles.role(style, child(element, "pPr", "outlineLvl"))
        number, written = self._styles.numbering(child(element, "pPr", "numPr"), style)
        label, depth = self._numbering.label(number, written, style) if text and number else ("", 0)
        if kind == "text" and label and self._styles.names(style, text):
            kind, level = "heading", min(depth, 8) + 1
            self._perhaps[len(self._out.blocks)] = "item"
        elif kind == "text" and not number and self._is_bold_line(element, style, text):
            kind, level = "heading", _LOWEST
            self._perhaps[len(self._out.blocks)] = "paragraph"
        if kind == "heading":
            self._out.add("heading", one_line(f"{label} {text}"), page=page, level=level)
        elif kind == "title":
            self._out.title = self._out.title or one_line(text)
            self._out.add("heading", one_line(text), page=page, level=1)
        elif number:
            self._out.item(f"{label} " if label else BULLET, text, page=page)
        else:
            self._out.add("paragraph", text, page=page)
        self._boxes(element)
        self._cited(element)

    def _is_bold_line(self, paragraph: Element, style: str, text: str) -> bool:
        """Tell whether all of a paragraph is bold and one short line: many write headings so."""
        if self._boxed or not 2 <= len(text) <= _BOLD_MOST or text[-1] in ".,;:!?" or {"\n", "\t"} & {*text}:
            return False
        if not any(map(str.isalpha, text)) or self._styles.points(style) or _TELLS.search(text):
            return False
        runs = (run for run in _found(paragraph, "r") if _says(run))
        shown = (run for run in runs if not docx_hidden.fate(run, self._setting, self._styles))
        return all(docx_hidden.is_bold(run, self._setting, self._styles) for run in shown)

    def _at(self, page: int) -> int | None:
        return min(page, self._out.bounds.pages) if self._paged else None

    def _text(self, paragraph: Element) -> str:
        pieces: list[str] = []
        self._first_page = 0
        self._setting = docx_hidden.setting(paragraph, self._styles, self._ground)
        for run in self._runs(paragraph):
            if run.strip() and not self._first_page:
                self._first_page = self._page
            pieces.append(run)
        return "".join(pieces)

    def _runs(self, parent: Element) -> Iterator[str]:
        """Yield the text of a paragraph, without text boxes, notes and what Word does not show."""
        for element in parent:
            name = local(element)
            if name == "t":
                self._broken = self._broken and not (element.text or "").strip()
                yield element.text or ""
            elif name in _BREAKS:
                yield _BREAKS[name]
            elif name == "br":
                yield self._break(attribute(element, "type"))
            elif name == "lastRenderedPageBreak":
                # Word notes an explicit break again at the next paragraph: that is one page, not two.
                self._page += not self._broken
                self._broken = False
            elif name in ("footnoteReference", "endnoteReference"):
                yield f"[{attribute(element, 'id')}]"
            elif name == "r" and (flag := docx_hidden.fate(element, self._setting, self._styles)):
                if "".join(item.text or "" for item in element.iter() if local(item) == "t").strip():
                    self._out.flag(flag)
            elif name not in _SKIPPED and name != "txbxContent":
                yield from self._runs(element)

    def _break(self, kind: str) -> str:
        if kind == "page":
            self._page += 1
            self._broken = True
        return "\n"

    def _boxes(self, paragraph: Element) -> None:
        before = self._ground, self._boxed
        self._ground, self._boxed = None, True
        for box in _found(paragraph, "txbxContent"):
            self._blocks(box)
        self._ground, self._boxed = before

    def _cited(self, paragraph: Element) -> None:
        for kind in ("footnote", "endnote"):
            for reference in _found(paragraph, f"{kind}Reference"):
                number = attribute(reference, "id")
                if (note := self._notes.get((kind, number))) is not None:
                    self._out.add("paragraph", f"[{number}] {note}", page=self._at(self._page))

    def _table(self, table: Element) -> None:
        begins = self._page
        rows: list[list[str]] = []
        headers = 0
        ground = self._ground
        if child(table, "tblPr", "tblStyle") is not None:
            self._ground = None
        for row in _rows(table):
            if headers == len(rows) and child(row, "trPr", "tblHeader") is not None:
                headers += 1
            rows.append(self._row(row, rows[-1] if rows else []))
        self._ground = ground
        if not headers and attribute(child(table, "tblPr", "tblLook"), "firstRow") in ("1", "true", "on"):
            headers = 1
        if all(len(row) == 1 for row in rows):
            for (text,) in rows:
                self._out.add("paragraph", text, page=self._at(begins))
        else:
            self._out.table(rows, page=self._at(begins), header_rows=headers if headers < len(rows) else 0)
        for reference in table.iter():
            if local(reference) == "p":
                self._cited(reference)

    def _row(self, row: Element, above: list[str]) -> list[str]:
        texts: list[str] = []
        for cell in _cells(row):
            merged = child(cell, "tcPr", "vMerge")
            ground, self._ground = (
                self._ground,
                docx_hidden.shaded([child(cell, "tcPr", "shd")], self._ground),
            )
            text = "\n".join(part for part in self._cell(cell) if part.strip())
            self._ground = ground
            if merged is not None and attribute(merged, "val") != "restart" and len(texts) < len(above):
                text = text or above[len(texts)]  # what a merged cell says, it says of each of its rows
            texts.append(text)
            span = whole(attribute(child(cell, "tcPr", "gridSpan"), "val"), most=61, otherwise=1)
            texts.extend([""] * (span - 1))
        return texts

    def _cell(self, cell: Element) -> Iterator[str]:
        for element in cell:
            name = local(element)
            if name == "p":
                style = attribute(child(element, "pPr", "pStyle"), "val")
                number, written = self._styles.numbering(child(element, "pPr", "numPr"), style)
                label = self._numbering.label(number, written, style)[0] if number else ""
                yield f"{label} {self._text(element).strip()}".strip()
                for box in _found(element, "txbxContent"):
                    yield from self._cell(box)
            elif name not in _SKIPPED:
                yield from self._cell(element)

    def _margins(self) -> None:
        """Add what the running heads say, once for all pages: a marking may stand nowhere else."""
        seen = set()
        for name in self._package.names:
            if not name.startswith(("word/header", "word/footer")) or not name.endswith(".xml"):
                continue
            root = self._package.xml(name)
            text = one_line(" ".join(self._cell(root))) if root is not None else ""
            words = tuple(word for word in text.split() if sum(map(str.isalpha, word)) > 2)
            if words and words not in seen:
                seen.add(words)
                self._out.add("paragraph", text, page=self._at(1))


def _found(parent: Element, wanted: str) -> Iterator[Element]:
    """Yield the elements called `wanted` below `parent`, not looking inside one, nor where Word does not."""
    for element in parent:
        name = local(element)
        if name == wanted:
            yield element
        elif name not in _SKIPPED:
            yield from _found(element, wanted)


def _says(run: Element) -> bool:
    return any(local(item) == "t" and (item.text or "").strip() for item in run)


def _rows(parent: Element) -> Iterator[Element]:
    for element in parent:
        if local(element) == "tr":
            yield element
        elif local(element) in ("sdt", "sdtContent", "customXml", "ins"):
            yield from _rows(element)


def _cells(parent: Element) -> Iterator[Element]:
    for element in parent:
        if local(element) == "tc":
            yield element
        elif local(element) in ("sdt", "sdtContent", "customXml"):
            yield from _cells(element)


def _is_behind(element: Element) -> bool:
    return local(element) == "anchor" and attribute(element, "behindDoc") in ("1", "true")


def _notes(package: _Package, styles: Styles, out: Blocks) -> dict[tuple[str, str], str]:
    notes = {}
    for kind in ("footnote", "endnote"):
        root = package.xml(f"word/{kind}s.xml")
        for note in root if root is not None else ():
            text = one_line(" ".join(_shown(note, styles, out)))
            if text:
                notes[kind, attribute(note, "id")] = text
    return notes


def _shown(note: Element, styles: Styles, out: Blocks) -> Iterator[str]:
    paragraphs = [element for element in note.iter() if local(element) == "p"]
    for paragraph in paragraphs:
        given = docx_hidden.setting(paragraph, styles, docx_hidden.WHITE)
        for run in (element for element in paragraph.iter() if local(element) == "r"):
            text = "".join(item.text or "" for item in run.iter() if local(item) == "t")
            if flag := docx_hidden.fate(run, given, styles):
                if text.strip():
                    out.flag(flag)
            elif text:
                yield text
