"""PDF -> lines with their places on the page, by PDFium; `pdf_layout` makes blocks of them.

This file and `pdf_drawn` alone name the engine. Speed comes from asking PDFium for a page's text in one call,
and for the boxes of only the first and last character of each word.
"""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Iterator

import pypdfium2
import pypdfium2.raw as pdfium

from appliance.errors import NeedsPassword, ParseError
from appliance.ingest.parse import pdf_hidden, pdf_layout
from appliance.ingest.parse.blocks import Blocks, one_line
from appliance.ingest.parse.pdf_drawn import Shapes, address
from appliance.ingest.parse.pdf_page import Line, Outline, Page, Rules, Word

# What PDFium puts for a hyphen at a line's end; it then goes on with the next line without a break.
_HYPHENS = "\x02\ufffe"
_LINE = re.compile(r"[^\r\n\x02\ufffe]*[^\r\n\x02\ufffe\s][^\r\n\x02\ufffe]*[\x02\ufffe]?")
_WORD = re.compile(r"\S+")
_BOLD = re.compile(r"bold|black|heavy|semib|demi", re.I)
_JUNK_TITLE = re.compile(
    r"microsoft (word|powerpoint)|untitled|\.(docx?|indd|qxd|rtf|pdf|dvi)\b|^title\b|^[\W\d_]*$", re.I
)
_MONO = re.compile(r"mono|courier|consol|typewriter|nimbusmon|cmtt|menlo", re.I)
_FIXED_PITCH = 1
"""The bit in a font descriptor's flags (ISO 32000-1, table 123)."""
_TINY = 2.0
"""Points; text lower than that is for machines, not for people."""
_INK = 0.8
"""The share of its size below which a line's boxes are those of the ink alone: a Type 3 font, as browsers
print with, says nothing of how high its letters reach, and "no" is half as high as "If"."""
_BELOW = 0.22
"""The share of the type's size that is below the base line."""
_CODED = re.compile(r"[\uf020-\uf07e\uf0a1-\uf0ff]{2,}")
"""What a font that is said to hold symbols makes of Latin-1: its codes in the private use area."""
_SPELLED = re.compile(r"[\uf030-\uf039\uf041-\uf05a\uf061-\uf07a]{2}")
"""Two letters or digits, so coded: one alone, or other signs, may be bullets and ticks."""
_SYMBOLS = re.compile(r"symbol|dings|dingbat", re.I)
_Place = tuple[float, float, float, float]


def read(data: bytes, out: Blocks) -> None:
    """Read a PDF document.

    Raises:
        NeedsPassword: the empty password does not open it.
        ParseError: its structure is beyond repair.
    """
    with _open(data) as document:
        out.pages = len(document)
        if not out.pages:
            raise ParseError("The PDF has no pages that could be found.")
        title = one_line(document.get_metadata_dict().get("Title", ""))
        out.title = "" if _JUNK_TITLE.search(title) else title
        _note_unread(document, out)
        pages = list(_pages(document, out))
        out.pages = min(out.pages, out.bounds.pages)
        pdf_layout.arrange(pages, _outline(document), out)


def _open(data: bytes) -> pypdfium2.PdfDocument:
    try:
        return pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if error.err_code == pdfium.FPDF_ERR_PASSWORD:
            raise NeedsPassword("The PDF is encrypted and needs a password.") from None
        if error.err_code == pdfium.FPDF_ERR_SECURITY:
            raise NeedsPassword("The PDF is encrypted in a way that cannot be opened here.") from None
        raise ParseError("The PDF is damaged: its structure cannot be read.") from None


def _note_unread(document: pypdfium2.PdfDocument, out: Blocks) -> None:
    names = [document.get_attachment(at).get_name() for at in range(min(document.count_attachments(), 1000))]
    # Reports on accessibility, print settings and machine-readable twins are no text of the document's own.
    if attached := sum(not name.endswith((".accreport.html", ".joboptions", ".xml")) for name in names):
        out.lose(f"{attached} attached file{'s' if attached > 1 else ''}")
    if document.get_formtype() in (pdfium.FORMTYPE_XFA_FULL, pdfium.FORMTYPE_XFA_FOREGROUND):
        out.lose("the fields of an XFA form")


def _outline(document: pypdfium2.PdfDocument) -> list[Outline]:
    found = []
    try:
        for bookmark in document.get_toc(max_depth=8):
            target = bookmark.get_dest()
            page = target.get_index() if target else None
            if page is not None:
                found.append(Outline(page + 1, bookmark.level + 1, one_line(bookmark.get_title())))
            if len(found) >= 20_000:
                break
    except (pypdfium2.PdfiumError, ValueError, RecursionError):
        pass  # a broken outline only costs headings; sizes of type still give them
    return found


def _pages(document: pypdfium2.PdfDocument, out: Blocks) -> Iterator[Page]:
    damaged, pictures = [], []
    total = len(document)
    if total > out.bounds.pages:
        out.lose(f"pages after the first {out.bounds.pages:,} of {total:,}")
    characters = 0
    for index in range(min(total, out.bounds.pages)):
        page = _page(document, index, out)
        if page is None:
            damaged.append(index + 1)
            continue
        if not page.lines and page.picture:
            pictures.append(index + 1)
        characters += sum(len(line.text) for line in page.lines)
        yield page
        if characters > out.bounds.characters:
            break
    if damaged:
        out.lose(f"{_pages_named(damaged)} could not be read (damaged)")
    if pictures:
        out.lose(
            f"{_pages_named(pictures)} {'holds' if len(pictures) == 1 else 'hold'} only pictures, no text"
        )


def _pages_named(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"page {numbers[0]}"
    shown = ", ".join(map(str, numbers[:10]))
    return f"pages {shown}" + (f" and {len(numbers) - 10} more" if len(numbers) > 10 else "")


def _page(document: pypdfium2.PdfDocument, index: int, out: Blocks) -> Page | None:
    raw = pdfium.FPDF_LoadPage(document.raw, index)
    if not raw:
        return None
    try:
        text = pdfium.FPDFText_LoadPage(raw)
        if not text:
            return None
        try:
            return _Reader(raw, text, out).page(index + 1)
        finally:
            pdfium.FPDFText_ClosePage(text)
    finally:
        pdfium.FPDF_ClosePage(raw)


class _Reader:
    """Reads one page that is open."""

    def __init__(self, raw: pdfium.FPDF_PAGE, text: pdfium.FPDF_TEXTPAGE, out: Blocks) -> None:
        self._raw = raw
        self._text = text
        self._out = out
        self._rect = pdfium.FS_RECTF()
        self._at = ctypes.byref(self._rect)
        self._name = ctypes.create_string_buffer(256)
        self._flags = ctypes.c_int()
        self._turn = pdfium.FPDFPage_GetRotation(raw)
        self._width = pdfium.FPDF_GetPageWidthF(raw)
        self._height = pdfium.FPDF_GetPageHeightF(raw)
        self._box = pdfium.FPDFText_GetLooseCharBox
        shapes = Shapes(raw)
        self._hidden = shapes.hidden()
        self._drawn = shapes.rules

    def page(self, number: int) -> Page:
        units, index = self._units()
        units = _CODED.sub(lambda coded: self._decoded(coded, index), units)
        lines = []
        for match in _LINE.finditer(units):
            if (line := self._line(units, match.start(), match.end(), index)) is not None:
                lines.append(line)
        picture = not lines and self._has_picture()
        rules = Rules.of(self._turned(*box) for box in self._drawn)
        return Page(number, self._width, self._height, lines, picture=picture, rules=rules)

    def _units(self) -> tuple[str, list[int] | range]:
        """Return the page's UTF-16 units, one character each, and the character index of each."""
        count = pdfium.FPDFText_CountChars(self._text)
        if count <= 0:
            return "", range(0)
        buffer = (ctypes.c_ushort * (count + 1))()
        written = pdfium.FPDFText_GetText(self._text, 0, count, buffer) - 1
        units = "".join(map(chr, buffer[: max(0, written)]))
        if len(units) == count:
            return units, range(count)
        # Characters without a code point are in the one numbering and not in the other.
        return units, [pdfium.FPDFText_GetCharIndexFromTextIndex(self._text, at) for at in range(len(units))]

    def _decoded(self, coded: re.Match[str], index: list[int] | range) -> str:
        """Return the letters that are meant, one for one, by codes that no reader can read.

        A font of true symbols means no letters by them.
        """
        if not _SPELLED.search(coded[0]) or _SYMBOLS.search(self._font_name(index[coded.start()])):
            return coded[0]
        return "".join(chr(ord(code) - 0xF000) for code in coded[0])

    def _line(self, units: str, start: int, end: int, index: list[int] | range) -> Line | None:
        hyphen = units[end - 1] in _HYPHENS
        smallest = min(_TINY, self._height / 300)
        words = []
        heights = []
        low, high = 1e9, -1e9
        for match in _WORD.finditer(units, start, end - hyphen):
            shown = self._seen(match, index) if self._hidden else match.span()
            if shown is None:
                continue
            first, last = shown[0], shown[1] - 1
            left, bottom, right, top = self._where(index[first])
            if top - bottom < smallest and not self._inked(units, shown, index, smallest):
                self._out.flag(pdf_hidden.TINY)
                continue
            if last > first:
                right = max(right, self._where(index[last])[2])
            low, high = min(low, bottom), max(high, top)
            heights.append(top - bottom)
            words.append(Word(left, right, _joined(units[slice(*shown)]), bottom, top))
        if not words:
            return None
        size = max(0.1, sorted(heights)[len(heights) // 2])
        text = units[start:end].rstrip()
        first, last = index[end - len(units[start:end].lstrip())], index[start + len(text) - 1 - hyphen]
        # A line in the middle of a sentence may well begin with a bold word: its end must be bold too.
        if size < _INK * (type_size := self._type(first)):
            size = type_size
            low, high = self._stands(first, size)
        bold, mono = self._font(first)
        if bold or mono:
            ends_bold, ends_mono = self._font(last)
            bold, mono = bold and ends_bold, mono and ends_mono
        return Line(words, low, high, size, bold=bold, mono=mono, hyphen=hyphen)

    def _where(self, character: int) -> _Place:
        """Return the loose box of a character on the page as it is seen."""
        rect = self._rect
        if not self._box(self._text, character, self._at):
            return (0.0, 0.0, 0.0, 0.0)
        return self._turned(rect.left, rect.bottom, rect.right, rect.top)

    def _turned(self, left: float, bottom: float, right: float, top: float) -> _Place:
        """Return a box (left, bottom, right, top) of the page as it is seen."""
        if not self._turn:
            return left, bottom, right, top
        if self._turn == 1:
            return bottom, self._height - right, top, self._height - left
        if self._turn == 2:
            return self._width - right, self._height - top, self._width - left, self._height - bottom
        return self._width - top, left, self._width - bottom, right

    def _inked(self, units: str, shown: tuple[int, int], index: list[int] | range, smallest: float) -> bool:
        """Tell whether a word whose first box is tiny can be read all the same.

        Where boxes are those of the ink, a dash is: another letter of the word, or its type, is not. Letters
        that are all as small are hidden.
        """
        for at in range(*shown):
            _, bottom, _, top = self._where(index[at])
            if top - bottom >= smallest:
                return True
        return not any(map(str.isalnum, units[slice(*shown)])) and self._type(index[shown[0]]) >= smallest

    def _type(self, character: int) -> float:
        """Return how high a character's type is, in points on the page."""
        turned = pdfium.FS_MATRIX()
        if not pdfium.FPDFText_GetMatrix(self._text, character, ctypes.byref(turned)):
            return 0.0
        wide = math.hypot(turned.a, turned.b)
        area = abs(turned.a * turned.d - turned.b * turned.c)
        return float(pdfium.FPDFText_GetFontSize(self._text, character) * area / wide) if wide else 0.0

    def _stands(self, character: int, size: float) -> tuple[float, float]:
        """Return from where to where a line of this size reaches, by the base line of a character."""
        x, y = ctypes.c_double(), ctypes.c_double()
        pdfium.FPDFText_GetCharOrigin(self._text, character, ctypes.byref(x), ctypes.byref(y))
        base = self._turned(x.value, y.value, x.value, y.value)[1]
        return base - _BELOW * size, base + (1 - _BELOW) * size

    def _font(self, character: int) -> tuple[bool, bool]:
        """Tell whether the font of a character is bold, and whether all its letters are equally wide."""
        name = self._font_name(character)
        bold = bool(_BOLD.search(name)) or pdfium.FPDFText_GetFontWeight(self._text, character) >= 600
        return bold, bool(self._flags.value & _FIXED_PITCH) or bool(_MONO.search(name))

    def _font_name(self, character: int) -> str:
        """Return the name of a character's font, "" for none; its flags are then in `_flags`."""
        length = pdfium.FPDFText_GetFontInfo(
            self._text, character, self._name, 256, ctypes.byref(self._flags)
        )
        return self._name.value.decode("latin-1") if 0 < length <= 256 else ""

    def _seen(self, word: re.Match[str], index: list[int] | range) -> tuple[int, int] | None:
        """Return the part of a word, by its units, that can be seen; None for nothing."""
        start, end = word.span()
        if not self._flag(index[start]) and not self._flag(index[end - 1]):
            return start, end
        shown = []
        for at in range(start, end):
            flag = self._flag(index[at])
            if flag:
                self._out.flag(flag)
            if not pdf_hidden.is_left_out(flag):
                shown.append(at)
        return (shown[0], shown[-1] + 1) if shown else None

    def _flag(self, character: int) -> str:
        return self._hidden.get(address(pdfium.FPDFText_GetTextObject(self._text, character)), "")

    def _has_picture(self) -> bool:
        count = min(pdfium.FPDFPage_CountObjects(self._raw), 200)
        kinds = (pdfium.FPDFPageObj_GetType(pdfium.FPDFPage_GetObject(self._raw, at)) for at in range(count))
        return any(kind in (pdfium.FPDF_PAGEOBJ_IMAGE, pdfium.FPDF_PAGEOBJ_FORM) for kind in kinds)


def _joined(units: str) -> str:
    """Put the halves of surrogate pairs together again."""
    if units.isascii():
        return units
    return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
