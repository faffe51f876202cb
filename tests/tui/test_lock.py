"""The door: one answer for every wrong secret; nothing on screen after a lock (checklist rows 4 and 31)."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import IntegrityError, KeyFileError, VaultMissing, WrongSecret
from tests.fakes import PASSPHRASE, QUOTE, FakeClient, Gate
from tui import messages as said
from tui.screens.ask import Ask
from tui.screens.library import Library
from tui.screens.unlock import BUSY, WRONG, Unlock


async def test_the_right_passphrase_opens_and_is_wiped(stage, golden) -> None:
    client = FakeClient(gates={"unlock": Gate()})
    async with stage(client, unlocked=False) as on:
        await on.type(PASSPHRASE.decode())
        golden("unlock", on.shown())
        await on.press("enter")
        await on.until(client.gates["unlock"].reached.is_set)
        assert on.screen(Unlock).status.text == BUSY
        client.gates["unlock"].opened.set()
        await on.settle()
        on.screen(Ask)
        assert client.secrets == [bytearray(len(PASSPHRASE))]


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_weaker_sandbox_that_was_accepted_stays_so_after_a_lock(stage, accepted: bool) -> None:
    async with stage(unlocked=False, accept_weaker=accepted) as on:
        for _ in range(2):
            await on.type(PASSPHRASE.decode())
            await on.press("enter")
            await on.settle()
            on.screen(Ask)
            await on.press("ctrl+l")
            await on.settle()
        assert on.client.weaker == [accepted, accepted]


async def test_the_passphrase_is_never_shown(stage) -> None:
    async with stage(unlocked=False) as on:
        await on.type("\x1bhunter2")
        assert "hunter2" not in on.shown()
        await on.press("enter")
        await on.settle()
        assert "hunter2" not in on.shown()
        assert on.client.secrets == [bytearray(8)]


@pytest.mark.parametrize("why", ["No slot opens.", "The slot's tag is wrong.", ""])
async def test_every_wrong_secret_gets_the_same_answer(stage, golden, why: str) -> None:
    async with stage(FakeClient(errors={"unlock": WrongSecret(why)}), unlocked=False) as on:
        await on.type("wrong")
        await on.press("enter")
        await on.settle()
        assert on.said(said.Failed)[0].wrong_secret
        assert on.screen(Unlock).query_one("#why").text == WRONG
        golden("unlock_wrong", on.shown())
        await on.type("again")
        await on.press("enter")
        await on.settle()
        assert on.client.calls.count("unlock") == 2


@pytest.mark.parametrize(
    "error", [VaultMissing("There is no vault x."), KeyFileError("Damaged."), IntegrityError("Bad.")]
)
async def test_other_failures_say_what_and_what_to_do(stage, error: Exception) -> None:
    async with stage(FakeClient(errors={"unlock": error}), unlocked=False) as on:
        await on.type("x")
        await on.press("enter")
        await on.settle()
        assert on.screen(Unlock).query_one("#why").text == f"{error} {error.hint}"


async def test_nothing_but_leaving_is_possible_before_the_vault_opens(stage) -> None:
    async with stage(unlocked=False) as on:
        await on.press("f1", "f2", "f3", "ctrl+l", "escape", "enter", "ctrl+p")
        on.screen(Unlock)
        assert on.client.calls == []


async def test_ctrl_l_locks_from_any_depth_and_leaves_nothing(stage, golden) -> None:
    async with stage() as on:
        await on.ask()
        await on.settle()
        await on.press("enter")
        await on.settle()
        assert "shut-off" in on.shown()
        await on.press("ctrl+l")
        await on.settle()
        on.screen(Unlock)
        assert "lock" in on.client.calls
        assert len(on.app.screen_stack) == 2
        for word in ("shut-off", "pump", "Head", "page"):
            assert word not in on.shown()
        golden("locked", on.shown())
        await on.press("f2", "f3", "escape")
        on.screen(Unlock)
        await on.type(PASSPHRASE.decode())
        await on.press("enter")
        await on.settle()
        assert QUOTE not in on.shown()
        await on.press("up")
        assert on.screen(Ask).question.value == ""


async def test_lock_stops_a_running_answer_and_shows_none_of_it(stage) -> None:
    client = FakeClient(gates={"delta 1": Gate()})
    async with stage(client) as on:
        await on.ask()
        await on.until(lambda: bool(on.said(said.DraftGrew)))
        await on.press("ctrl+l")
        await on.settle()
        assert client.calls.index("cancel") < client.calls.index("lock")
        assert "answer" not in client.calls
        assert "shut-off" not in on.shown()


async def test_idleness_locks(stage) -> None:
    async with stage(minutes=15) as on:
        await on.ask()
        await on.settle()
        on.clock.now += 15 * 60 - 1
        await on.app.look_at_clock()
        on.screen(Ask)
        await on.press("down")
        on.clock.now += 15 * 60 - 1
        await on.app.look_at_clock()
        on.screen(Ask)
        on.clock.now += 1
        await on.app.look_at_clock()
        await on.settle()
        assert on.screen(Unlock).query_one("#why").text == "Locked after 15 minutes without a key."
        assert on.client.calls[-1] == "lock"
        assert "shut-off" not in on.shown()


async def test_zero_minutes_never_lock(stage) -> None:
    async with stage(minutes=0) as on:
        on.clock.now += 1e9
        await on.app.look_at_clock()
        on.screen(Ask)


async def test_an_add_is_work_and_not_idleness(stage, tmp_path: Path) -> None:
    client = FakeClient(gates={"file 1": Gate()})
    async with stage(client) as on:
        await on.press("f2", "a")
        await on.type(str(tmp_path))
        await on.press("enter")
        await on.until(lambda: len(on.said(said.AddMoved)) == 2)
        on.clock.now += 3600
        await on.app.look_at_clock()
        on.screen(Library)
        client.gates["file 1"].opened.set()
        await on.settle()
        on.clock.now += 900
        await on.app.look_at_clock()
        on.screen(Unlock)


async def test_a_lock_that_fails_is_said(stage) -> None:
    async with stage(FakeClient(errors={"lock": OSError("no")})) as on:
        await on.press("ctrl+l")
        await on.settle()
        assert on.screen(Unlock).query_one("#why").text.startswith("Something unexpected happened (OSError).")
