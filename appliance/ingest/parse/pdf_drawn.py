"""A page of a PDF, open in PDFium -> which of its text cannot be seen, and the rules that are drawn on it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator

import pypdfium2.raw as pdfium

from appliance.ingest.parse.pdf_hidden import FAINT, Box, Canvas, Colour, Fill, Ink
from appliance.ingest.parse.pdf_page import THIN

_MOST_SHAPES = 100_000
"""Shapes looked at on one page, and how deep drawings may stand in one another."""
_DEEPEST = 6
_RECTANGLE = 5
"""Segments of a path that is taken for one."""
_MOST_STEPS = 50_000
"""Segments of paths looked at on one page: a whole table may be one path, and a map has millions."""
_MOST_RULES = 20_000
"""Lines kept of one page."""
_PALE = 250
"""Of 255, in each of red, green and blue: what is painted so cannot be told from the paper."""
_Matrix = tuple[float, float, float, float, float, float]
_UNMOVED: _Matrix = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)


class Shapes:
    """Walks what is painted on a page, in order, and finds the text that cannot be seen."""

    def __init__(self, page: pdfium.FPDF_PAGE) -> None:
        self._edges = [ctypes.c_float() for _ in range(4)]
        self._bounds = [ctypes.byref(edge) for edge in self._edges]
        self._levels = [ctypes.c_uint() for _ in range(4)]
        self._colour = [ctypes.byref(level) for level in self._levels]
        self._fills: list[Fill] = []
        self._inks: dict[int, Ink] = {}
        self._left = _MOST_SHAPES
        self._steps = _MOST_STEPS
        self.rules: list[Box] = []
        """What is drawn on the page that is thin, straight, and level or upright; edges of boxes too."""
        shapes = (pdfium.FPDFPage_GetObject(page, at) for at in range(pdfium.FPDFPage_CountObjects(page)))
        self._walk(shapes, _UNMOVED, 0)
        rect = pdfium.FS_RECTF()
        pdfium.FPDF_GetPageBoundingBox(page, ctypes.byref(rect))
        self._page = Box(rect.left, rect.bottom, rect.right, rect.top)

    def hidden(self) -> dict[int, str]:
        """Return why each text that cannot be seen cannot, by the address of its object."""
        canvas = Canvas(self._page, self._fills)
        fates = ((at, canvas.fate(ink)) for at, ink in self._inks.items())
        return {at: flag for at, flag in fates if flag}

    def _walk(self, shapes: Iterator[pdfium.FPDF_PAGEOBJECT], matrix: _Matrix, depth: int) -> None:
        for shape in shapes:
            self._left -= 1
            if self._left < 0:
                return
            kind = pdfium.FPDFPageObj_GetType(shape)
            if kind == pdfium.FPDF_PAGEOBJ_TEXT:
                self._inks[address(shape)] = self._ink(shape, matrix)
            elif kind == pdfium.FPDF_PAGEOBJ_PATH:
                self._path(shape, matrix)
            elif kind == pdfium.FPDF_PAGEOBJ_FORM and depth < _DEEPEST:
                self._walk(_inside(shape), _times(_matrix(shape), matrix), depth + 1)
            else:
                self._fills.append(Fill(self._box(shape, matrix), None))

    def _ink(self, shape: pdfium.FPDF_PAGEOBJECT, matrix: _Matrix) -> Ink:
        colour, opacity = self._paint(shape)
        mode = pdfium.FPDFTextObj_GetTextRenderMode(shape)
        clips = self._clips(shape) if matrix is _UNMOVED else ()
        return Ink(len(self._fills), mode, colour, opacity, self._box(shape, matrix), clips)

    def _path(self, shape: pdfium.FPDF_PAGEOBJECT, matrix: _Matrix) -> None:
        fill, stroke = ctypes.c_int(), ctypes.c_int()
        if not pdfium.FPDFPath_GetDrawMode(shape, ctypes.byref(fill), ctypes.byref(stroke)):
            return
        if stroke.value and _is_seen(*self._paint(shape, pdfium.FPDFPageObj_GetStrokeColor)):
            self._rule(self._strokes(shape, _times(_matrix(shape), matrix)), shape, matrix)
        if fill.value:
            colour, opacity = self._paint(shape)
            if opacity > 0:
                # What shines through mixes with what is beneath: no colour can be told.
                whole = pdfium.FPDFPath_CountSegments(shape) <= _RECTANGLE
                known = colour if opacity == 255 else None
                box = self._box(shape, matrix)
                self._fills.append(Fill(box, known, whole))
                if whole and _is_seen(colour, opacity):
                    self._rule(_edges(box), shape, matrix)

    def _rule(self, lines: Iterable[Box], shape: pdfium.FPDF_PAGEOBJECT, matrix: _Matrix) -> None:
        """Keep what is inside of the shape's clips; those of a drawing are not known on the page."""
        clips = self._clips(shape) if matrix is _UNMOVED else ()
        for line in lines:
            if len(self.rules) < _MOST_RULES and all(_touch(line, clip) for clip in clips):
                self.rules.append(line)

    def _strokes(self, path: pdfium.FPDF_PAGEOBJECT, matrix: _Matrix) -> Iterator[Box]:
        """Yield the straight lines of a path that is stroked."""
        begun = before = (0.0, 0.0)
        for at in range(pdfium.FPDFPath_CountSegments(path)):
            self._steps -= 1
            if self._steps < 0:
                return
            segment = pdfium.FPDFPath_GetPathSegment(path, at)
            if not pdfium.FPDFPathSegment_GetPoint(segment, *self._bounds[:2]):
                return
            point = _moved(self._edges[0].value, self._edges[1].value, matrix)
            kind = pdfium.FPDFPathSegment_GetType(segment)
            if kind == pdfium.FPDF_SEGMENT_MOVETO:
                begun = point
            elif kind == pdfium.FPDF_SEGMENT_LINETO:
                yield _around([before, point])
            before = point
            if pdfium.FPDFPathSegment_GetClose(segment):
                yield _around([point, begun])
                before = begun

    def _paint(
        self, shape: pdfium.FPDF_PAGEOBJECT, read: Callable[..., int] = pdfium.FPDFPageObj_GetFillColor
    ) -> tuple[Colour | None, int]:
        if not read(shape, *self._colour):
            return None, 255
        red, green, blue, opacity = (level.value for level in self._levels)
        return (red, green, blue), opacity

    def _box(self, shape: pdfium.FPDF_PAGEOBJECT, matrix: _Matrix) -> Box:
        if not pdfium.FPDFPageObj_GetBounds(shape, *self._bounds):
            return Box(-1e9, -1e9, 1e9, 1e9)
        left, bottom, right, top = (edge.value for edge in self._edges)
        if matrix is _UNMOVED:
            return Box(left, bottom, right, top)
        return _around([_moved(x, y, matrix) for x in (left, right) for y in (bottom, top)])

    def _clips(self, shape: pdfium.FPDF_PAGEOBJECT) -> tuple[Box, ...]:
        clip = pdfium.FPDFPageObj_GetClipPath(shape)
        found = []
        for at in range(min(pdfium.FPDFClipPath_CountPaths(clip), 20) if clip else 0):
            points = []
            for step in range(min(pdfium.FPDFClipPath_CountPathSegments(clip, at), 200)):
                segment = pdfium.FPDFClipPath_GetPathSegment(clip, at, step)
                if pdfium.FPDFPathSegment_GetPoint(segment, *self._bounds[:2]):
                    points.append((self._edges[0].value, self._edges[1].value))
            if points:
                found.append(_around(points))
        return tuple(found)


def _is_seen(colour: Colour | None, opacity: int) -> bool:
    """Tell whether what is painted so is seen on paper; a pattern, of which no colour is known, may be."""
    return opacity > FAINT and (colour is None or min(colour) < _PALE)


def _touch(one: Box, two: Box) -> bool:
    return one.left <= two.right and two.left <= one.right and one.bottom <= two.top and two.bottom <= one.top


def _edges(box: Box) -> Iterator[Box]:
    """Yield the edges of an area, or what is too thin to have any."""
    left, bottom, right, top = box
    if min(right - left, top - bottom) < THIN:
        yield box
        return
    yield from (Box(left, at, right, at) for at in (bottom, top))
    yield from (Box(at, bottom, at, top) for at in (left, right))


def _inside(form: pdfium.FPDF_PAGEOBJECT) -> Iterator[pdfium.FPDF_PAGEOBJECT]:
    return (pdfium.FPDFFormObj_GetObject(form, at) for at in range(pdfium.FPDFFormObj_CountObjects(form)))


def _matrix(form: pdfium.FPDF_PAGEOBJECT) -> _Matrix:
    found = pdfium.FS_MATRIX()
    if not pdfium.FPDFPageObj_GetMatrix(form, ctypes.byref(found)):
        return _UNMOVED
    return (found.a, found.b, found.c, found.d, found.e, found.f)


def _times(inner: _Matrix, outer: _Matrix) -> _Matrix:
    a, b, c, d, e, f = inner
    x, y = _moved(e, f, outer)
    one, two = _turned(a, b, outer), _turned(c, d, outer)
    return (*one, *two, x, y)


def _turned(x: float, y: float, matrix: _Matrix) -> tuple[float, float]:
    return matrix[0] * x + matrix[2] * y, matrix[1] * x + matrix[3] * y


def _moved(x: float, y: float, matrix: _Matrix) -> tuple[float, float]:
    turned = _turned(x, y, matrix)
    return turned[0] + matrix[4], turned[1] + matrix[5]


def _around(points: list[tuple[float, float]]) -> Box:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return Box(min(xs), min(ys), max(xs), max(ys))


def address(shape: pdfium.FPDF_PAGEOBJECT) -> int:
    """Return what a shape is known by."""
    return ctypes.addressof(shape.contents) if shape else 0
