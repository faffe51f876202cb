"""A question that is answered with y or n."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui import commands
from tui.widgets.lines import Line, Row


class Confirm(ModalScreen[bool]):
    """Asks `question`; anything but y leaves things as they are."""

    BINDINGS: ClassVar = commands.bindings((commands.Lock, commands.Quit, *commands.CONFIRM))

    def __init__(self, question: str) -> None:
        super().__init__()
        self.question = question

    def compose(self) -> ComposeResult:
        """Yield the question and its keys."""
        with Vertical(id="box"):
            yield Line(self.question)
            yield Row(commands.footer(commands.CONFIRM, typing=False))

    async def action_do(self, name: str) -> None:
        """Handle the command of that name now, before the next key."""
        await self._dispatch_message(commands.named(name)())

    @on(commands.SayYes)
    def _yes(self, command: commands.SayYes) -> None:
        command.stop()
        self.dismiss(True)  # noqa: FBT003 - Textual's signature

    @on(commands.SayNo)
    def _no(self, command: commands.SayNo) -> None:
        command.stop()
        self.dismiss(False)  # noqa: FBT003 - Textual's signature
