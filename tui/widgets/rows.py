"""Lists of one-line rows: the passages and the library."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import OptionList

from appliance.types import Document, Passage
from tui import shape
from tui.messages import DocumentOpened, PassageChosen, PassageOpened
from tui.widgets.lines import Row


class Rows(Vertical):
    """A head and rows, laid out again for every width."""

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._head = Row(classes="heading")
        self.list = OptionList(markup=False, compact=True)

    def compose(self) -> ComposeResult:
        """Yield the head, then the rows."""
        yield self._head
        yield self.list

    def on_resize(self) -> None:
        """Lay the rows out for the new width."""
        self._layout()

    @property
    def chosen(self) -> int | None:
        """The index of the row the cursor is on, None where there are no rows."""
        return self.list.highlighted

    @property
    def texts(self) -> list[str]:
        """The rows as shown."""
        return [str(option.prompt) for option in self.list.options]

    def choose(self, index: int) -> None:
        """Put the cursor on a row."""
        if 0 <= index < self.list.option_count:
            self.list.highlighted = index

    def _layout(self) -> None:
        width = self.size.width - 1  # the scrollbar's
        head, rows = self._lines(max(width, 0))
        self._head.show(head)
        if rows != self.texts:
            at = self.list.highlighted
            self.list.set_options([Content(row) for row in rows])
            if rows:
                self.list.highlighted = min(at or 0, len(rows) - 1)

    def _lines(self, width: int) -> tuple[str, Sequence[str]]:
        raise NotImplementedError


class PassageRows(Rows):
    """The passages: number, page, found by, score, document and heading; a star where the answer cites it."""

    def __init__(self) -> None:
        super().__init__(id="passages")
        self._passages: tuple[Passage, ...] = ()
        self._cited: frozenset[int] = frozenset()

    def show(self, passages: tuple[Passage, ...], cited: frozenset[int]) -> None:
        """Show the passages."""
        self._passages, self._cited = passages, cited
        self._layout()

    def _lines(self, width: int) -> tuple[str, Sequence[str]]:
        rows = [
            shape.passage_row(n, passage, cited=n in self._cited, width=width)
            for n, passage in enumerate(self._passages, start=1)
        ]
        return (shape.fit(shape.PASSAGE_HEAD, width) if rows else ""), rows

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Say which passage the user moved to."""
        event.stop()
        self.post_message(PassageChosen(event.option_index + 1))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Say that the user wants to read the page."""
        event.stop()
        self.post_message(PassageOpened(event.option_index + 1))


class DocumentRows(Rows):
    """The library: name, pages, chunks, added, status."""

    def __init__(self) -> None:
        super().__init__(id="documents")
        self._documents: tuple[Document, ...] = ()

    def show(self, documents: tuple[Document, ...]) -> None:
        """Show the documents."""
        self._documents = documents
        self._layout()

    def _lines(self, width: int) -> tuple[str, Sequence[str]]:
        return shape.document_head(width), [shape.document_row(item, width) for item in self._documents]

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Keep the list's own message here."""
        event.stop()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Say that the user wants to read the document."""
        event.stop()
        self.post_message(DocumentOpened(event.option_index))
