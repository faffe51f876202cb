"""What every screen shares: a title, a status line, a line of keys, and commands as messages."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.screen import Screen
from textual.widgets import Input

from tui import commands
from tui.link import Link
from tui.messages import Failed, FromWorker, Stopped
from tui.widgets.lines import Line, Row, Title


class House(Screen[None]):
    """A screen whose keys are commands. `job` is the call it waits for, None when it waits for none."""

    FOOTER: ClassVar[tuple[type[commands.Command], ...]] = ()

    def __init__(self, link: Link, *, title: str) -> None:
        super().__init__()
        self.link = link
        self.job: int | None = None
        self.bar = Title(title)
        self.status = Line(classes="status")

    def compose(self) -> ComposeResult:
        """Yield the lines from top to bottom."""
        yield self.bar
        yield from self.body()
        yield self.status
        yield Row(classes="keys")

    def body(self) -> ComposeResult:
        """Yield what stands between title and status."""
        yield from ()

    def on_mount(self) -> None:
        """Show the keys."""
        self.show_keys()

    def on_descendant_focus(self) -> None:
        """Show the keys that work where the focus is now."""
        self.show_keys()

    def show_keys(self) -> None:
        """Fill the last line from the commands."""
        typing = isinstance(self.focused, Input)
        self.query_one(".keys", Row).show(" " + commands.footer(self.FOOTER, typing=typing))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave letters to the text field that has the focus."""
        if action != "do" or not isinstance(self.focused, Input):
            return True
        return not commands.named(str(parameters[0])).is_letter()

    async def action_do(self, name: str) -> None:
        """Handle the command of that name now, before the next key."""
        await self._dispatch_message(commands.named(name)())

    def mine(self, message: FromWorker) -> bool:
        """Tell whether `message` answers the call that this screen waits for."""
        message.stop()
        return message.job == self.job

    def stop_job(self) -> bool:
        """Stop the call that runs; False where none does."""
        if self.job is None:
            return False
        self.status.show("Stopping...")
        self.link.cancel(self.job)
        return True

    def fail(self, text: str) -> None:
        """Show what went wrong and what to do."""
        self.status.show(text)

    def stopped(self) -> None:
        """Say that the user's stop was obeyed."""
        self.status.show("Stopped.")

    @on(commands.Stop)
    def _stop(self, command: commands.Stop) -> None:
        command.stop()
        if not self.stop_job():
            self.status.show("Nothing is running. Ctrl+Q leaves.")

    @on(Stopped)
    def _stopped(self, message: Stopped) -> None:
        if self.mine(message):
            self.job = None
            self.stopped()

    @on(Failed)
    def _failed(self, message: Failed) -> None:
        if self.mine(message):
            self.job = None
            self.fail(f"{message.message} {message.hint}")
