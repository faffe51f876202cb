"""The link: one call at a time, drafts gathered, and a crash that says nothing of what was on screen."""

from __future__ import annotations

import pytest
from textual import events

from tests.fakes import FakeClient, FakeClock, Gate
from tui import messages as said
from tui.link import DELTA_S, Link
from tui.screens.ask import Ask


async def test_pieces_of_a_draft_are_gathered(stage) -> None:
    async with stage(FakeClient(draft=tuple("abcdefghij"))) as on:
        await on.ask()
        await on.settle()
        assert [each.text for each in on.said(said.DraftGrew)] == ["a", "bcdefghij"]


def test_a_piece_goes_out_as_soon_as_its_time_has_come() -> None:
    clock, client = FakeClock(), FakeClient(draft=("a", "b", "c", "d"))
    link = Link(None, client, clock=clock)
    texts = []
    for message in link._spoken(1, client.ask("?")):
        if isinstance(message, said.DraftGrew):
            texts.append(message.text)
            clock.now += DELTA_S
    assert texts == ["a", "b", "c", "d"]


async def test_a_job_that_waits_can_be_stopped_before_it_begins(stage) -> None:
    client = FakeClient(gates={"delta 0": Gate()})
    async with stage(client) as on:
        await on.ask()
        await on.until(client.gates["delta 0"].reached.is_set)
        on.app.link.cancel(on.app.link.pages(on.app.screen, 1))
        client.gates["delta 0"].opened.set()
        await on.settle()
        assert "pages" not in client.calls
        assert "cancel" not in client.calls
        assert on.screen(Ask).answer is not None


async def test_calls_take_turns(stage) -> None:
    client = FakeClient(gates={"delta 0": Gate()})
    async with stage(client) as on:
        await on.ask()
        await on.until(client.gates["delta 0"].reached.is_set)
        await on.press("f2")
        assert client.calls.count("documents") == 1
        client.gates["delta 0"].opened.set()
        await on.settle()
        assert client.calls.count("documents") == 2


async def test_leaving_does_not_wait_for_the_call_in_flight(stage) -> None:
    client = FakeClient(gates={"delta 0": Gate()})
    async with stage(client) as on:
        await on.ask()
        await on.until(client.gates["delta 0"].reached.is_set)
        await on.press("ctrl+q")
        assert client.gates["delta 0"].cancelled.is_set()
        assert on.app.return_value == 0


async def test_keys_of_one_packet_reach_what_the_first_of_them_opened(stage) -> None:
    async with stage() as on:
        await on.press("f2")
        await on.settle()
        for key in ("slash", "p", "x", "a"):
            on.app.post_message(events.Key(key, "/" if key == "slash" else key))
        await on.settle()
        assert on.app.screen.filter.value == "pxa"


async def test_a_crash_says_its_class_and_nothing_else(stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ValueError("SECRET TEXT of a document")

    apps = []

    async def journey() -> None:
        async with stage() as on:
            apps.append(on.app)
            monkeypatch.setattr(on.screen(Ask).answer_pane, "grow", crash)
            await on.ask()
            await on.settle()

    with pytest.raises(ValueError, match="SECRET"):
        await journey()
    (app,) = apps
    assert app.crash is not None
    assert "ValueError" in app.crash
    assert "SECRET" not in app.crash
    assert app._exit_renderables == []
