"""A document, page by page, opened at the quote."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from tui import clean, commands, shape
from tui.link import Link
from tui.locate import Leaf, Span, find, leaves, locate
from tui.messages import PagesRead, PageWanted
from tui.screens.house import House
from tui.widgets.fields import Field
from tui.widgets.lines import Line

WAITING = "The whole page follows as soon as the answer is done."


class Reader(House):
    """Shows the passage at once, and its page as soon as the worker has sent it."""

    FOOTER: ClassVar[tuple[type[commands.Command], ...]] = (*commands.READER, *commands.ALWAYS_SHOWN)
    BINDINGS: ClassVar = commands.bindings((*commands.EVERYWHERE, *commands.READER))

    def __init__(self, link: Link, *, wanted: PageWanted) -> None:
        super().__init__(link, title=f"appliance \u00b7 {clean.line(wanted.name).plain}")
        self.wanted = wanted
        self.where = Line(classes="heading")
        self.text = Static(Content(""), markup=False)
        self.scroll = VerticalScroll(self.text)
        self.leaves: tuple[Leaf, ...] = ()
        self.at = 0
        self.quote: tuple[int, Span | None] = (0, None)
        self._after = 0  # where on this leaf the next search begins

    def body(self) -> ComposeResult:
        """Yield the place, the text and the field to find words."""
        yield self.where
        yield self.scroll
        yield Field(placeholder="Find in this document", id="find")

    def on_mount(self) -> None:
        """Show the passage while its page is fetched."""
        self.query_one("#find").display = False
        self.set_focus(self.scroll)
        passage = self.wanted.passage
        if passage is not None:
            self.where.show(shape.place("", passage.page, passage.heading))
            self.text.update(clean.quoted(passage.text, self.wanted.span))
        self.status.show(WAITING)
        self.job = self.link.pages(self, self.wanted.document_id)

    @on(PagesRead)
    def _read(self, message: PagesRead) -> None:
        if not self.mine(message):
            return
        self.job = None
        self.leaves = leaves(message.pages)
        self.status.show("")
        if self.wanted.passage is not None:
            self.quote = locate(self.leaves, self.wanted.passage, self.wanted.span)
        self._to_place()

    def _to_place(self) -> None:
        """Show the quote, or where the passage without one begins."""
        self._turn(*self.quote, quoted=self.wanted.span is not None)

    def _turn(self, at: int, mark: Span | None = None, *, quoted: bool = True) -> None:
        if not 0 <= at < len(self.leaves):
            return
        self.at, self._after = at, mark[1] if mark else 0
        leaf = self.leaves[at]
        self.where.show(self._place(leaf))
        self.text.update((clean.quoted if quoted else clean.begun)(leaf.text, mark))
        self.call_after_refresh(self._bring, leaf.text, mark)

    def _bring(self, text: str, mark: Span | None) -> None:
        above = 0
        if mark is not None:
            shown = clean.plain(text[: mark[0]])
            above = max(0, shown.get_height({}, max(self.text.size.width, 1)) - 3)
        self.scroll.scroll_to(y=above, animate=False)

    def _place(self, leaf: Leaf) -> str:
        last = self.leaves[-1].page
        page = f"page {leaf.page} of {last}" if leaf.page is not None else "without pages"
        part = f", part {leaf.part} of {leaf.parts}" if leaf.parts > 1 else ""
        heading = self.wanted.passage.heading if self.wanted.passage and self.at == self.quote[0] else ""
        return shape.place(page + part, None, heading)

    @on(commands.NextPage)
    def _next(self, command: commands.NextPage) -> None:
        command.stop()
        self._turn(self.at + 1)

    @on(commands.PreviousPage)
    def _previous(self, command: commands.PreviousPage) -> None:
        command.stop()
        self._turn(self.at - 1)

    @on(commands.BackToQuote)
    def _to_quote(self, command: commands.BackToQuote) -> None:
        command.stop()
        self._to_place()

    @on(commands.FindText)
    def _ask_words(self, command: commands.FindText) -> None:
        command.stop()
        self.query_one("#find").display = True
        self.set_focus(self.query_one("#find"))

    @on(Input.Submitted, "#find")
    def _find(self, event: Input.Submitted) -> None:
        event.stop()
        for step in range(len(self.leaves) + 1):
            index = (self.at + step) % max(len(self.leaves), 1)
            after = self._after if step == 0 else 0
            where = find(self.leaves[index].text, event.value, after=after) if self.leaves else None
            if where is not None:
                self._turn(index, where)
                self.status.show("Enter goes to the next place, Esc closes.")
                return
        self.status.show("Not found in this document.")

    @on(Input.Changed, "#find")
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self._after = 0

    @on(commands.Back)
    def _back(self, command: commands.Back) -> None:
        command.stop()
        field = self.query_one("#find")
        if field.display:
            field.display = False
            self.status.show("")
            self.set_focus(self.scroll)
            return
        if self.job is not None:
            self.link.cancel(self.job)
        self.dismiss()
