"""What doctor and verify say, line by line."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from appliance.types import Check, Report
from tui import clean, commands, shape
from tui.link import Link
from tui.messages import CheckMoved, Reported
from tui.screens.house import House


class Checks(House):
    """Runs doctor at once, verify on demand."""

    FOOTER: ClassVar[tuple[type[commands.Command], ...]] = (*commands.CHECKS, *commands.ALWAYS_SHOWN)
    BINDINGS: ClassVar = commands.bindings((*commands.EVERYWHERE, *commands.CHECKS))

    def __init__(self, link: Link) -> None:
        super().__init__(link, title="appliance \u00b7 checks")
        self.report = Static(Content(""), markup=False)

    def body(self) -> ComposeResult:
        """Yield the report."""
        yield VerticalScroll(self.report)

    def on_mount(self) -> None:
        """Look at the machine."""
        self.set_focus(self.query_one(VerticalScroll))
        self._wait("Looking at this machine.", self.link.doctor(self))

    def _wait(self, what: str, job: int) -> None:
        self.job = job
        self.status.show(f"{what} Esc stops.")

    @on(CheckMoved)
    def _moved(self, message: CheckMoved) -> None:
        if self.mine(message):
            now = message.progress
            share = f", {now.done / now.total:.0%}" if now.total else ""
            self.status.show(f"Checking: {now.name}{share}. Esc stops.")

    @on(Reported)
    def _reported(self, message: Reported) -> None:
        if self.mine(message):
            self.job = None
            self.report.update(_lines(message.report))
            bad = sum(not check.ok for check in message.report.checks)
            self.status.show(f"{shape.count(len(message.report.checks), 'check')}, {bad} failed.")

    @on(commands.RunDoctor)
    def _doctor(self, command: commands.RunDoctor) -> None:
        command.stop()
        if self.job is None:
            self._wait("Looking at this machine.", self.link.doctor(self))

    @on(commands.VerifyQuickly)
    def _quick(self, command: commands.VerifyQuickly) -> None:
        command.stop()
        if self.job is None:
            self._wait("Checking the store.", self.link.verify(self, full=False))

    @on(commands.VerifyFully)
    def _full(self, command: commands.VerifyFully) -> None:
        command.stop()
        if self.job is None:
            self._wait("Checking every page, chunk and vector.", self.link.verify(self, full=True))

    @on(commands.Back)
    def _back(self, command: commands.Back) -> None:
        command.stop()
        if not self.stop_job():
            self.dismiss()


def _lines(report: Report) -> Content:
    return Content("\n").join([_line(check) for check in report.checks])


def _line(check: Check) -> Content:
    verdict = ("ok      ", "") if check.ok else ("FAILED  ", "bold")
    return Content.assemble(verdict, clean.line(check.name, "bold"), "  ", clean.line(check.detail))
