"""The main screen: question -> quote first, then the answer, then every passage."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from appliance.types import Answer, Evidence, Passage, Span
from tui import commands, shape
from tui.link import Link
from tui.messages import (
    AnswerReady,
    DocumentsListed,
    DraftGrew,
    EvidenceArrived,
    LibraryChanged,
    ListWanted,
    PageWanted,
    PassageChosen,
    PassageOpened,
    PassagesFound,
    QuestionAsked,
)
from tui.screens.house import House
from tui.widgets.fields import Question
from tui.widgets.panes import AnswerPane, PassagePane, is_long_quote
from tui.widgets.rows import PassageRows

EMPTY = "This vault holds no documents yet. Press F2 for the library, then a to add some."
Spans = dict[int, Span]


class Ask(House):
    """One question at a time; a new one stops the one before."""

    FOOTER: ClassVar[tuple[type[commands.Command], ...]] = (*commands.ASK, *commands.EVERYWHERE)
    BINDINGS: ClassVar = commands.bindings((*commands.EVERYWHERE, *commands.ASK))

    def __init__(self, link: Link, *, vault: str) -> None:
        super().__init__(link, title=f"appliance \u00b7 {vault}")
        self.question, self.passage, self.answer_pane = Question(), PassagePane(), AnswerPane()
        self.panes, self.rows = Vertical(id="panes"), PassageRows()
        self.passages: tuple[Passage, ...] = ()
        self.spans: Spans = {}
        self.marks: Spans = {}
        self.answer: Answer | None = None
        self._unsupported_shown = False
        self._listing: int | None = None

    def body(self) -> ComposeResult:
        """Yield the question, the quote, the answer and the passages, in reading order."""
        yield Horizontal(Static("? ", id="prompt", markup=False), self.question, id="asking")
        with self.panes:
            yield self.passage
            yield self.answer_pane
        yield self.rows

    def on_mount(self) -> None:
        """Count the documents and wait for a question."""
        self._listing = self.link.documents(self)
        self.set_focus(self.question)

    @on(DocumentsListed)
    def _listed(self, message: DocumentsListed) -> None:
        message.stop()
        if message.job == self._listing:
            self.count(len(message.documents))

    @on(LibraryChanged)
    def _changed(self, message: LibraryChanged) -> None:
        message.stop()
        self.count(message.documents)

    def count(self, documents: int) -> None:
        """Show how many documents there are, and what to do when there are none."""
        self.bar.put(shape.count(documents, "document"))
        if self.answer is None and self.job is None:
            self.answer_pane.say("Answer", "" if documents else EMPTY)

    @on(QuestionAsked)
    def _asked(self, message: QuestionAsked) -> None:
        message.stop()
        if self.job is not None:
            self.link.cancel(self.job)
        self.passages, self.spans, self.marks, self.answer = (), {}, {}, None
        self._unsupported_shown = False
        self.rows.show((), frozenset())
        self.passage.clear()
        self.answer_pane.say("Answer")
        self.panes.remove_class("-quoted")
        self.status.show("Searching. Esc stops.")
        self.set_focus(self.rows.list)  # so that Enter opens the page; / or Esc comes back to the question
        self.job = self.link.ask(self, message.question)

    @on(PassagesFound)
    def _found(self, message: PassagesFound) -> None:
        if self.mine(message):
            self.passages = message.passages
            self.rows.show(self.passages, frozenset())
            self.status.show(f"{shape.count(len(self.passages), 'passage')}. Esc stops.")

    @on(EvidenceArrived)
    def _evidence(self, message: EvidenceArrived) -> None:
        if self.mine(message):
            evidence = message.evidence
            self.spans[evidence.n] = (evidence.start, evidence.end)
            if evidence.mark is not None:
                self.marks[evidence.n] = evidence.mark
            self._show_best(evidence)
            self.status.show("The quote is above; the answer is being written. Esc stops.")

    def _show_best(self, evidence: Evidence) -> None:
        if self.rows.chosen == evidence.n - 1:
            self._show(evidence.n)
        self.rows.choose(evidence.n - 1)

    @on(DraftGrew)
    def _grew(self, message: DraftGrew) -> None:
        if self.mine(message):
            self.answer_pane.grow(message.text)

    @on(AnswerReady)
    def _ready(self, message: AnswerReady) -> None:
        if self.mine(message):
            self.job, self.answer = None, message.answer
            self.passages = self.passages or message.answer.passages
            self._take_citations(message.answer)
            self._mark(message.answer.evidence)
            self._show_answer(message.answer)
            self.status.show(shape.timings_row(message.answer))

    def _mark(self, evidence: Evidence | None) -> None:
        """Mark the words that answer, where the model chose others than the reader."""
        if evidence is not None and evidence.mark not in (None, self.marks.get(evidence.n)):
            self.marks[evidence.n] = evidence.mark
            if self.rows.chosen == evidence.n - 1:
                self._show(evidence.n)

    def _show_answer(self, answer: Answer) -> None:
        self.answer_pane.show(answer, unsupported=False)
        self.panes.set_class(is_long_quote(answer), "-quoted")

    def _take_citations(self, answer: Answer) -> None:
        for citation in answer.citations:
            if citation.n not in self.spans and 0 < citation.n <= len(self.passages):
                start = self.passages[citation.n - 1].text.find(citation.quote)
                if citation.quote and start >= 0:
                    self.spans[citation.n] = (start, start + len(citation.quote))
        self.rows.show(self.passages, frozenset(citation.n for citation in answer.citations))

    def stopped(self) -> None:
        """Keep the quote and the draft on screen."""
        self.answer_pane.stop()
        self.status.show("Stopped.")

    def fail(self, text: str) -> None:
        """Show the failure where the answer would have been; the quote stays."""
        self.answer_pane.say("No answer", text)
        self.status.show("")

    @on(PassageChosen)
    def _chosen(self, message: PassageChosen) -> None:
        message.stop()
        self._show(message.n)

    def _show(self, n: int) -> None:
        if 0 < n <= len(self.passages):
            self.passage.show(n, self.passages[n - 1], self.spans.get(n), self.marks.get(n))

    @on(ListWanted)
    def _to_list(self, message: ListWanted) -> None:
        message.stop()
        if self.passages:
            self.set_focus(self.rows.list)

    @on(PassageOpened)
    def _opened(self, message: PassageOpened) -> None:
        message.stop()
        self._open(message.n)

    @on(commands.OpenPage)
    def _open_chosen(self, command: commands.OpenPage) -> None:
        command.stop()
        if self.rows.chosen is not None:
            self._open(self.rows.chosen + 1)

    def _open(self, n: int) -> None:
        if 0 < n <= len(self.passages):
            passage = self.passages[n - 1]
            self.post_message(PageWanted(passage.document_id, passage.document, passage, self.spans.get(n)))

    @on(commands.ShowUnsupported)
    def _unsupported(self, command: commands.ShowUnsupported) -> None:
        command.stop()
        if self.answer is not None and self.answer.unsupported:
            self._unsupported_shown = not self._unsupported_shown
            self.answer_pane.show(self.answer, unsupported=self._unsupported_shown)

    @on(commands.NewQuestion)
    def _new(self, command: commands.NewQuestion) -> None:
        command.stop()
        self.set_focus(self.question)

    @on(commands.Back)
    def _back(self, command: commands.Back) -> None:
        command.stop()
        if not self.stop_job():
            self.set_focus(self.question)
