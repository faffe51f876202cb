"""Text fields whose content, pasted or suggested, is cleaned."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.widgets import Input

from appliance.clean import clean_line
from tui.messages import ListWanted, QuestionAsked
from tui.paths import PathSuggester, complete


class Field(Input):
    """A field of one line. Its cursor does not blink: each blink would travel over SSH."""

    def __init__(self, *, placeholder: str = "", password: bool = False, id: str | None = None) -> None:  # noqa: A002
        super().__init__(placeholder=placeholder, password=password, id=id, compact=True)
        self.cursor_blink = False

    def _on_paste(self, event: events.Paste) -> None:
        # Pasted text comes from anywhere; a passphrase must stay what it is and is never shown.
        event.stop()
        event.prevent_default()
        lines = event.text.splitlines()
        text = (lines[0] if lines else "") if self.password else clean_line(event.text)
        self.replace(text, *sorted(self.selection))


class PathField(Field):
    """A path, completed with Tab."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("tab", "complete", show=False)]

    def __init__(self, *, id: str) -> None:  # noqa: A002
        super().__init__(placeholder="Path of a file or folder; Tab completes, Enter adds", id=id)
        self.suggester = PathSuggester()

    def action_complete(self) -> None:
        """Take the completion."""
        self.value = complete(self.value) or self.value
        self.cursor_position = len(self.value)


class Question(Field):
    """The question, with those asked before in this session under Up."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "recall(-1)", show=False),
        Binding("down", "recall(1)", show=False),
    ]

    def __init__(self) -> None:
        super().__init__(placeholder="Ask your documents, then press Enter", id="question")
        self._asked: list[str] = []
        self._at = 0

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Remember the question and send it up."""
        event.stop()
        question = clean_line(event.value)
        if not question:
            return
        if self._asked[-1:] != [question]:
            self._asked.append(question)
        self._at = len(self._asked)
        self.post_message(QuestionAsked(question))

    def action_recall(self, step: int) -> None:
        """Go `step` through the questions asked; past the last one lies the list of passages."""
        if step > 0 and self._at >= len(self._asked) - 1:
            self._at = len(self._asked)
            self.post_message(ListWanted())
            return
        self._at = max(0, min(self._at + step, len(self._asked)))
        if self._asked:
            self.value = self._asked[self._at]
            self.cursor_position = len(self.value)
