"""The one-line parts of every screen: title, status, keys, headings."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from tui import clean, shape


class Line(Static):
    """One line of cleaned text; never markup."""

    def __init__(self, text: str = "", *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(clean.line(text), id=id, classes=classes, markup=False)

    def show(self, text: str) -> None:
        """Show one line, cleaned; nothing is repainted where nothing changed."""
        content = clean.line(text)
        if content.plain != self.text:
            self.update(content)

    @property
    def text(self) -> str:
        """The text as shown."""
        return self.content.plain if isinstance(self.content, Content) else ""


class Row(Line):
    """One line whose spaces count: the head of a table, a bar."""

    def show(self, text: str) -> None:
        """Show `text`, which the caller has cleaned."""
        if text != self.text:
            self.update(Content(text))


class Title(Row):
    """The first line: where you are on the left, what there is on the right."""

    def __init__(self, left: str) -> None:
        super().__init__(classes="title")
        self._left, self._right = left, ""

    def on_resize(self) -> None:
        """Lay the two ends out again."""
        self.put(self._right)

    def put(self, right: str) -> None:
        """Show `right` at the right end."""
        self._right = right
        room = max(self.size.width - 2, 0)
        self.show(f" {shape.fit(self._left, max(room - len(right), 0))}{right} ")
