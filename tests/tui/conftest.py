"""An application on a fake client: wait for workers, look at messages, then at the screen; never sleep."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from textual import events
from textual.message import Message
from textual.pilot import Pilot
from textual.screen import Screen

from tests.fakes import FakeClient, FakeClock
from tui.app import Appliance

GOLDENS = Path(__file__).with_name("goldens")
TURNS = 500
M = TypeVar("M", bound=Message)
S = TypeVar("S", bound=Screen)


@dataclass
class Stage:
    """What a test holds: the application, its pilot, and every message that went through it."""

    app: Appliance
    client: FakeClient
    clock: FakeClock
    pilot: Pilot[int]
    messages: list[Message] = field(default_factory=list)

    async def settle(self) -> None:
        """Wait until every call that can end has ended, and its messages are handled."""
        await self.app.workers.wait_for_complete()
        await self.pilot.pause()
        await self.pilot.pause()

    async def until(self, true: Callable[[], bool]) -> None:
        """Let the application run until `true`, a bounded number of turns."""
        for _ in range(TURNS):
            if true():
                return
            await self.pilot.pause(0.01)
        raise AssertionError(f"never came true; the screen shows:\n{self.shown()}")

    async def press(self, *keys: str) -> None:
        """Press keys and let them be handled."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        """Enter text as one paste: far faster than a key at a time."""
        self.app.post_message(events.Paste(text))
        await self.pilot.pause()

    async def ask(self, question: str = "what is the shut-off head") -> None:
        """Type a question and send it."""
        await self.type(question)
        await self.press("enter")

    def said(self, kind: type[M]) -> list[M]:
        """Return the messages of one class, each once."""
        found: list[M] = []
        for message in self.messages:
            if isinstance(message, kind) and not any(message is each for each in found):
                found.append(message)
        return found

    def screen(self, kind: type[S]) -> S:
        """Return the screen in front, which must be of that class."""
        assert isinstance(self.app.screen, kind), f"{type(self.app.screen).__name__} is in front"
        return self.app.screen

    def shown(self) -> str:
        """Return the screen as plain text, one line per row."""
        strips = self.app.screen._compositor.render_strips(self.app.size)
        return "".join(f"{strip.text.rstrip()}\n" for strip in strips)


Staging = Callable[..., AbstractAsyncContextManager[Stage]]


@pytest.fixture
def stage() -> Staging:
    """Open the application on a fake client."""

    @asynccontextmanager
    async def opened(
        client: FakeClient | None = None,
        *,
        unlocked: bool = True,
        size: tuple[int, int] = (80, 24),
        minutes: int = 15,
        accept_weaker: bool = False,
    ) -> AsyncIterator[Stage]:
        client, clock, messages = client or FakeClient(), FakeClock(), []
        app = Appliance(
            client,
            vault="main",
            unlocked=unlocked,
            lock_minutes=minutes,
            accept_weaker=accept_weaker,
            clock=clock,
        )
        async with app.run_test(size=size, message_hook=messages.append) as pilot:
            staged = Stage(app, client, clock, pilot, messages)
            await pilot.pause()
            yield staged
            for gate in client.gates.values():
                gate.opened.set()
            await app.workers.wait_for_complete()

    return opened


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare a screen with tests/tui/goldens/NAME.txt; APPLIANCE_GOLDENS=write writes it instead."""

    def compare(name: str, shown: str) -> None:
        path = GOLDENS / f"{name}.txt"
        if request.config.getoption("--write-goldens", default=False):
            path.parent.mkdir(exist_ok=True)
            path.write_text(shown, "utf-8")
        assert path.exists(), "no such golden: look at the screen, then run pytest with --write-goldens"
        assert shown == path.read_text("utf-8")

    return compare


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-goldens", action="store_true", help="write the screens' text instead of comparing"
    )
