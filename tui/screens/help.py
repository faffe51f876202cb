"""Every key, read off the commands."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from tui import commands
from tui.link import Link
from tui.screens.house import House

MORE = (
    ("Enter", "In the question: ask. In a list: read the page."),
    ("Up Down", "In the question: earlier questions, and the list below. In a list: move."),
    ("Tab", "Go to the next part of the screen. In a path: complete it."),
)


def page() -> Content:
    """Return the help as text: one line per command, grouped by screen."""
    parts: list[Content] = []
    for title, group in commands.SECTIONS:
        parts.append(Content.styled(title, "bold"))
        parts += [Content(f"  {each.shown_key():<9}{each.help()}") for each in group]
    parts.append(Content.styled("Moving", "bold"))
    parts += [Content(f"  {key:<9}{what}") for key, what in MORE]
    return Content("\n").join(parts)


class Help(House):
    """Shows the keys; Esc goes back."""

    FOOTER: ClassVar[tuple[type[commands.Command], ...]] = (commands.Back, *commands.ALWAYS_SHOWN)
    BINDINGS: ClassVar = commands.bindings((*commands.EVERYWHERE, commands.Back))

    def __init__(self, link: Link) -> None:
        super().__init__(link, title="appliance \u00b7 help")

    def body(self) -> ComposeResult:
        """Yield the keys."""
        yield VerticalScroll(Static(page(), markup=False))

    def on_mount(self) -> None:
        """Let the arrow keys scroll."""
        self.set_focus(self.query_one(VerticalScroll))

    @on(commands.Back)
    def _back(self, command: commands.Back) -> None:
        command.stop()
        self.dismiss()
