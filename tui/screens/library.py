"""The documents: list, filter, add with progress, remove after a question."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from appliance.types import Document, FileResult
from tui import clean, commands, shape
from tui.link import Link
from tui.messages import (
    AddEnded,
    AddMoved,
    DocumentOpened,
    DocumentRemoved,
    DocumentsListed,
    FileEnded,
    LibraryChanged,
    PageWanted,
)
from tui.paths import typed
from tui.screens.confirm import Confirm
from tui.screens.house import House
from tui.widgets.fields import Field, PathField
from tui.widgets.lines import Row
from tui.widgets.rows import DocumentRows

EMPTY = "No documents yet. Press a to add a file or a folder."
LOG_LINES = 200
"""Files shown at the end of an add, newest last; the sum at its end counts them all."""


class Library(House):
    """One job at a time; `job` is the add, `listing` and `removing` are short."""

    FOOTER: ClassVar[tuple[type[commands.Command], ...]] = (*commands.LIBRARY, *commands.ALWAYS_SHOWN)
    BINDINGS: ClassVar = commands.bindings((*commands.EVERYWHERE, *commands.LIBRARY))

    def __init__(self, link: Link, *, vault: str) -> None:
        super().__init__(link, title=f"appliance \u00b7 {vault} \u00b7 library")
        self.rows, self.progress = DocumentRows(), Row(id="progress")
        self.log_text = Static(Content(""), markup=False)
        self.files = VerticalScroll(self.log_text, id="files")
        self.path, self.filter = PathField(id="path"), Field(placeholder="Words of the name", id="filter")
        self.documents: tuple[Document, ...] = ()
        self.shown: tuple[Document, ...] = ()
        self.done: list[str] = []
        self.adding = False

    def body(self) -> ComposeResult:
        """Yield the fields, the table, and the add under it."""
        yield self.filter
        yield self.rows
        yield self.path
        yield self.progress
        yield self.files

    def on_mount(self) -> None:
        """List the documents."""
        for widget in (self.path, self.filter, self.progress, self.files):
            widget.display = False
        self.set_focus(self.rows.list)
        self._list()

    def _list(self) -> None:
        self.job = self.link.documents(self)

    @on(DocumentsListed)
    def _listed(self, message: DocumentsListed) -> None:
        if self.mine(message):
            self.job = None
            self.documents = message.documents
            self.post_message(LibraryChanged(len(self.documents)))
            self._show()

    def _show(self) -> None:
        words = self.filter.value.casefold().split() if self.filter.display else []
        self.shown = tuple(
            each for each in self.documents if all(word in each.name.casefold() for word in words)
        )
        self.rows.show(self.shown)
        chunks = sum(each.chunks for each in self.documents)
        self.bar.put(f"{shape.count(len(self.documents), 'document')}, {shape.count(chunks, 'chunk')}")
        if not self.documents:
            self.status.show(EMPTY)
        elif words:
            self.status.show(f"{len(self.shown)} of {len(self.documents)} match. Esc shows all.")

    @on(commands.AddFiles)
    def _ask_path(self, command: commands.AddFiles) -> None:
        command.stop()
        if self.job is None:
            self.path.display = True
            self.set_focus(self.path)

    @on(Input.Submitted, "#path")
    def _add(self, event: Input.Submitted) -> None:
        event.stop()
        path = typed(event.value)
        if not event.value.strip() or not path.exists():
            self.status.show(f"There is no file or folder {path}.")
            return
        self.path.display = False
        self.set_focus(self.rows.list)
        self.done, self.adding = [], True
        self.log_text.update(Content(""))
        self.progress.display = self.files.display = True
        self.progress.show("Looking for files.")
        self.status.show("Adding. Esc stops; what is done stays.")
        self.job = self.link.add(self, [path])

    @on(AddMoved)
    def _moved(self, message: AddMoved) -> None:
        if self.mine(message):
            self.progress.show(shape.progress_row(message.progress, self.size.width - 2))

    @on(FileEnded)
    def _file(self, message: FileEnded) -> None:
        if self.mine(message):
            self._log(message.result)

    def _log(self, result: FileResult) -> None:
        self.done = [*self.done[1 - LOG_LINES :], shape.file_row(result, self.size.width - 3)]
        self.log_text.update(clean.plain("\n".join(self.done)))
        self.files.scroll_end(animate=False)

    @on(AddEnded)
    def _ended(self, message: AddEnded) -> None:
        if self.mine(message):
            self.adding = False
            self.progress.show(shape.fit(shape.added_row(message.added), self.size.width - 2))
            self.status.show("")
            self._list()

    def stopped(self) -> None:
        """List what is there after a stop: committed files stay."""
        self.progress.show("Stopped. What was done stays; add the same path again to go on.")
        self._end_add()

    def fail(self, text: str) -> None:
        """Show the failure, and what is there."""
        super().fail(text)
        if self.adding:
            self._end_add()

    def _end_add(self) -> None:
        self.adding = False
        self._list()

    def _chosen(self) -> Document | None:
        index = self.rows.chosen
        return self.shown[index] if index is not None and index < len(self.shown) else None

    @on(commands.RemoveDocument)
    def _ask_remove(self, command: commands.RemoveDocument) -> None:
        command.stop()
        document = self._chosen()
        if document is None or self.job is not None:
            return

        def decide(yes: bool | None) -> None:  # noqa: FBT001 - Textual's signature
            if yes:
                self.job = self.link.remove(self, document.id)

        what = f"Remove {clean.line(document.name).plain} and everything derived from it?"
        self.app.push_screen(Confirm(what), decide)

    @on(DocumentRemoved)
    def _removed(self, message: DocumentRemoved) -> None:
        if self.mine(message):
            self.status.show("Removed.")
            self._list()

    @on(commands.ReadDocument)
    def _read(self, command: commands.ReadDocument) -> None:
        command.stop()
        self._open(self._chosen())

    @on(DocumentOpened)
    def _opened(self, message: DocumentOpened) -> None:
        message.stop()
        self._open(self.shown[message.index])

    def _open(self, document: Document | None) -> None:
        if document is not None:
            self.post_message(PageWanted(document.id, document.name))

    @on(commands.FilterDocuments)
    def _ask_filter(self, command: commands.FilterDocuments) -> None:
        command.stop()
        self.filter.display = True
        self.set_focus(self.filter)

    @on(Input.Changed, "#filter")
    def _filtered(self, event: Input.Changed) -> None:
        event.stop()
        self._show()

    @on(Input.Submitted, "#filter")
    def _filter_done(self, event: Input.Submitted) -> None:
        event.stop()
        self.set_focus(self.rows.list)

    @on(commands.Back)
    def _back(self, command: commands.Back) -> None:
        command.stop()
        if self.path.display:
            self.path.display = False
        elif self.filter.display:
            self.filter.value, self.filter.display = "", False
            self.status.show("")
            self._show()
        elif not (self.adding and self.stop_job()):
            self.dismiss()
            return
        self.set_focus(self.rows.list)
