"""The terminal UI: screens on a stack, one link to the worker, one clock that locks."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import events, on
from textual.app import App
from textual.screen import Screen

from tui import commands
from tui.link import Client, Link
from tui.messages import LibraryChanged, PageWanted, VaultOpened
from tui.screens.ask import Ask
from tui.screens.checks import Checks
from tui.screens.help import Help
from tui.screens.library import Library
from tui.screens.reader import Reader
from tui.screens.unlock import Unlock

_ERASE = "\x1b[H\x1b[2J"
_ERASE_SCROLLBACK = "\x1b[3J"
_LOOK_S = 5.0
UNEXPECTED = (
    "appliance stopped: something unexpected happened ({name}). The vault is locked; nothing was lost."
)


def awake() -> float:
    """Return seconds since boot, sleep included: a laptop that was shut for an hour was idle for an hour."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Appliance(App[int]):
    """The application. It leaves the terminal's own colours alone, and the mouse and the clipboard too."""

    CSS_PATH: ClassVar = Path(__file__).with_name("app.tcss")
    TITLE = "appliance"
    ENABLE_COMMAND_PALETTE = False  # it can write screenshots, which are plaintext on disk
    ALLOW_SELECT = False
    VERTICAL_BREAKPOINTS: ClassVar = [(0, "-short"), (20, "-tall")]  # type: ignore[misc]
    HORIZONTAL_BREAKPOINTS: ClassVar = [(0, "-narrow"), (110, "-wide")]  # type: ignore[misc]  # theirs is odd

    def __init__(
        self,
        client: Client,
        *,
        vault: str,
        unlocked: bool,
        lock_minutes: int,
        accept_weaker: bool = False,
        clock: Callable[[], float] = awake,
    ) -> None:
        # Said before Textual chooses its NO_COLOR filter: the one for RGB themes paints black on black.
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"  # the sixteen colours of the terminal itself, be it light or dark
        self.animation_level = "none"
        self.link = Link(self, client, clock=clock, accept_weaker=accept_weaker)
        self.vault = vault
        self._unlocked = unlocked
        self._clock = clock
        self._lock_s = lock_minutes * 60
        self._touched = clock()
        self.crash: str | None = None

    def on_mount(self) -> None:
        """Open the first screen and start looking at the clock."""
        first = Ask(self.link, vault=self.vault) if self._unlocked else Unlock(self.link, vault=self.vault)
        self.push_screen(first)
        self.set_interval(_LOOK_S, self.look_at_clock)

    async def on_event(self, event: events.Event) -> None:
        """Note every sign of the user."""
        if isinstance(event, (events.Key, events.Paste)):
            self._touched = self._clock()
        await super().on_event(event)

    async def look_at_clock(self) -> None:
        """Lock when nobody has touched a key for long enough; a running add counts as work."""
        if self._busy_adding():
            self._touched = self._clock()
        elif self._lock_s and self._unlocked and self._clock() - self._touched >= self._lock_s:
            await self._lock(f"Locked after {self._lock_s // 60} minutes without a key.")

    def _busy_adding(self) -> bool:
        return any(isinstance(screen, Library) and screen.adding for screen in self.screen_stack)

    async def _lock(self, why: str) -> None:
        self._unlocked = False
        unlock = Unlock(self.link, vault=self.vault, why=why, locking=True)
        with self.batch_update():  # no screen on the way down is painted again
            self._erase(_ERASE + _ERASE_SCROLLBACK)
            while len(self.screen_stack) > 2:  # Textual's own empty screen and the first of ours
                await self.pop_screen()
            await self.switch_screen(unlock)

    def _erase(self, sequence: str) -> None:
        if self._driver is not None and not self.is_headless:
            self._driver.write(sequence)

    @on(VaultOpened)
    async def _opened(self, message: VaultOpened) -> None:
        message.stop()
        self._unlocked = True
        await self.switch_screen(Ask(self.link, vault=self.vault))

    @on(PageWanted)
    def _page(self, message: PageWanted) -> None:
        message.stop()
        self.push_screen(Reader(self.link, wanted=message))

    @on(LibraryChanged)
    def _changed(self, message: LibraryChanged) -> None:
        message.stop()
        for screen in self.screen_stack:
            if isinstance(screen, Ask):
                screen.count(message.documents)

    @on(commands.ShowHelp)
    async def _help(self, command: commands.ShowHelp) -> None:
        command.stop()
        await self._show(Help(self.link))

    @on(commands.ShowLibrary)
    async def _library(self, command: commands.ShowLibrary) -> None:
        command.stop()
        await self._show(Library(self.link, vault=self.vault))

    @on(commands.ShowChecks)
    async def _checks(self, command: commands.ShowChecks) -> None:
        command.stop()
        await self._show(Checks(self.link))

    async def _show(self, screen: Screen[None]) -> None:
        below = [each for each in self.screen_stack if type(each) is type(screen)]
        if not below:
            await self.push_screen(screen)
        while below and self.screen is not below[0]:  # it is there already: come back to it
            await self.pop_screen()

    @on(commands.Lock)
    async def _lock_now(self, command: commands.Lock) -> None:
        command.stop()
        if self._unlocked:
            await self._lock("Locked.")

    async def action_quit(self) -> None:
        """Leave: end the worker first, for a call in flight would hold the process, then clear the screen."""
        self.link.close()
        self._erase(_ERASE)
        self.exit(0)

    @on(commands.Quit)
    async def _quit(self, command: commands.Quit) -> None:
        command.stop()
        await self.action_quit()

    def copy_to_clipboard(self, text: str) -> None:
        """Keep the text inside the program: OSC 52 would hand it to the machine at the other end."""
        self._clipboard = text

    def _set_pointer_shape(self, shape: str) -> None:
        """Leave the pointer alone: it is an OSC sequence, and no mouse is used."""

    def _fatal_error(self) -> None:
        """Leave without Textual's traceback, whose locals would quote documents (ASVS 16.5.1)."""
        self.crash = UNEXPECTED.format(name=type(self._exception).__name__)
        self.link.close()
        self._close_messages_no_wait()


def run(app: Appliance) -> int:
    """Run the terminal UI until the user leaves; return the exit code. Its client is closed at the end."""
    try:
        code = app.run(mouse=False)
    finally:
        app.link.close()
    if app.crash is not None:
        raise SystemExit(app.crash)
    return code or 0
