"""The door: the vault's name and a masked passphrase."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input

from appliance.secret import Secret
from tui import commands
from tui.link import Link
from tui.messages import Failed, Locked, Unlocked, VaultOpened
from tui.screens.house import House
from tui.widgets.fields import Field
from tui.widgets.lines import Line

WRONG = "The vault did not open: check its name and the passphrase. Nothing was changed."
"""One sentence for every wrong secret, whatever the reason: it tells an attacker nothing."""
BUSY = "Opening. Making the key from the passphrase takes about half a second, on purpose."


class Unlock(House):
    """Asks for the passphrase. `why` says why the vault is locked; with `locking` it waits for Locked."""

    FOOTER: ClassVar[tuple[type[commands.Command], ...]] = commands.UNLOCK
    BINDINGS: ClassVar = commands.bindings(commands.UNLOCK)

    def __init__(self, link: Link, *, vault: str, why: str = "", locking: bool = False) -> None:
        super().__init__(link, title="appliance \u00b7 locked")
        self.vault, self.why, self.locking = vault, why, locking

    def body(self) -> ComposeResult:
        """Yield the name, the field and what is to be said about them."""
        with Vertical(id="door"):
            yield Line(f"Vault: {self.vault}", id="vault")
            yield Line("Passphrase:", id="label")
            yield Field(password=True, id="passphrase")
            yield Line(self.why, id="why")

    def on_mount(self) -> None:
        """Wait for the old worker to end where there was one."""
        if self.locking:
            self.job = self.link.lock(self)
        self.set_focus(self.query_one(Field))

    @on(Input.Submitted)
    def _try(self, event: Input.Submitted) -> None:
        event.stop()
        if self.job is not None or not event.value:
            return
        secret = Secret.passphrase(bytearray(event.value.encode("utf-8", "surrogatepass")))
        event.input.value = ""
        self._say("")
        self.status.show(BUSY)
        self.job = self.link.unlock(self, self.vault, secret)

    @on(Locked)
    def _locked(self, message: Locked) -> None:
        if self.mine(message):
            self.job = None

    @on(Unlocked)
    def _unlocked(self, message: Unlocked) -> None:
        if self.mine(message):
            self.job = None
            self.post_message(VaultOpened())

    @on(Failed)
    def _refused(self, message: Failed) -> None:
        if message.job == self.job and message.wrong_secret:
            message.prevent_default()
            self.job = None
            self.fail(WRONG)

    def fail(self, text: str) -> None:
        """Show why the door stayed shut, near the field."""
        self.status.show("")
        self._say(text)

    def _say(self, text: str) -> None:
        self.query_one("#why", Line).show(text)
