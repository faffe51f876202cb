"""The panes of the Ask screen: the passage with its quote, and the answer."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from appliance.render import answer_text, is_quote, row_header, verdict, word_for_word
from appliance.types import Answer, Passage, Span
from tui import clean, shape
from tui.widgets.lines import Line

LEAD = 70
"""Characters shown before the quote: enough to see where it stands, few enough that it is seen at once."""

LONG = 300
"""Characters of a quote that is not shown a second time, as the answer: it needs the room for itself."""


class Pane(Vertical):
    """A heading of one line over a text that scrolls."""

    def __init__(self, *, id: str, heading: str) -> None:  # noqa: A002
        super().__init__(id=id)
        self._line = Line(heading, classes="heading")
        self._body = Static(Content(""), markup=False)
        self._scroll = VerticalScroll(self._body)

    def compose(self) -> ComposeResult:
        """Yield the heading, then the text, as a screen reader should meet them."""
        yield self._line
        yield self._scroll

    def put(self, heading: str, body: Content, *, at_end: bool = False) -> None:
        """Show `body` under `heading`, from its beginning or at its end."""
        self._line.show(heading)
        self._body.update(body)
        if at_end:
            self._scroll.scroll_end(animate=False)
        else:
            self._scroll.scroll_home(animate=False)

    @property
    def heading(self) -> str:
        """The heading as shown."""
        return self._line.text

    @property
    def text(self) -> str:
        """The text as shown."""
        content = self._body.content
        return content.plain if isinstance(content, Content) else ""


class PassagePane(Pane):
    """One passage, its place in the heading, its quote marked."""

    def __init__(self) -> None:
        super().__init__(id="passage", heading="")

    def show(self, n: int, passage: Passage, span: Span | None, answer: Span | None = None) -> None:
        """Show passage `n` with `span` of its text marked, and in it the words that `answer`."""
        where = shape.place(passage.document, passage.page, passage.heading)
        header = passage.lead or (row_header(passage, span[0]) if span and span[0] > LEAD else "")
        # Under its header a row needs no more before it: on a small screen that would push it out of sight.
        lead = 0 if header and span and span[0] > LEAD else LEAD
        text = clean.quoted(passage.text, span, lead=lead, answer=answer)
        self.put(
            f"[{n}] {where}", Content.assemble(clean.plain(f"{header}\n" if header else "", "bold"), text)
        )

    def clear(self) -> None:
        """Show nothing."""
        self.put("", Content(""))


class AnswerPane(Pane):
    """The draft, dimmed while it is unchecked, and then the checked answer in its place."""

    def __init__(self) -> None:
        super().__init__(id="answer", heading="Answer")
        self._draft = ""

    def say(self, heading: str, text: str = "") -> None:
        """Show words of our own."""
        self._draft = ""
        self.put(heading, clean.plain(text))

    def grow(self, text: str) -> None:
        """Add to the draft."""
        self._draft += text
        self.put("Draft, not yet checked", clean.plain(self._draft, "dim"), at_end=True)

    def stop(self) -> None:
        """Keep what was written, and say that nobody checked it."""
        self.put("Stopped: this draft was not checked", clean.plain(self._draft, "dim"), at_end=True)

    def show(self, answer: Answer, *, unsupported: bool) -> None:
        """Show the checked answer; with `unsupported` also what failed the check."""
        self._draft = ""
        parts = [_abstention(answer) if answer.abstained else _marked(_said(answer))]
        if answer.searched_for:
            parts.append(clean.plain(f"\n\nSearched for: {answer.searched_for}", "dim"))
        if unsupported:
            parts.append(
                Content.styled("\n\nNot supported by the passages, so not part of the answer:", "bold")
            )
            parts += [clean.plain(f"\n- {sentence}", "dim") for sentence in answer.unsupported]
        self.put("Answer" if answer.abstained else "Answer, checked", Content.assemble(*parts))


def is_long_quote(answer: Answer) -> bool:
    """Tell whether the answer is a quote that needs the screen for itself."""
    return is_quote(answer, answer.evidence) and len(answer.answer) > LONG


def _said(answer: Answer) -> str:
    shown = answer.evidence
    if shown is None or not (is_long_quote(answer) or (shown.goes_on and is_quote(answer, shown))):
        return answer_text(answer)
    return word_for_word(shown)


def _abstention(answer: Answer) -> Content:
    nearest = "The nearest passages are listed; none of them answers the question."
    said = f"\n{nearest}\nThe {verdict(answer.verdict)}." if answer.passages else ""
    return Content.assemble(("Not in your documents.", "bold"), said)


def _marked(text: str) -> Content:
    return clean.plain(text).highlight_regex(r"\[\d{1,3}\]", style="bold")
