"""The library: list, filter, add with progress, stop, remove."""

from __future__ import annotations

from pathlib import Path

from appliance.errors import SandboxUnavailable
from appliance.types import Added, Document, FileResult, Progress
from tests.fakes import FakeClient, Gate, fake_document
from tui import messages as said
from tui import shape
from tui.paths import complete, typed
from tui.screens.ask import Ask
from tui.screens.confirm import Confirm
from tui.screens.library import Library
from tui.screens.reader import Reader


async def test_the_table(stage, golden) -> None:
    flagged = Document(**{**_fields(fake_document(2, "b.html")), "pages": None, "flags": ("hidden text",)})
    partial = Document(**{**_fields(fake_document(3, "c" * 90 + ".pdf")), "lost": ("page 2",)})
    async with stage(FakeClient(library=[fake_document(), flagged, partial])) as on:
        await on.press("f2")
        await on.settle()
        assert [row.split()[-1] for row in on.screen(Library).rows.texts] == ["ok", "suspicious", "partial"]
        golden("library", on.shown())


def _fields(document: Document) -> dict[str, object]:
    return {name: getattr(document, name) for name in Document.__slots__}


async def test_add_shows_progress_and_one_line_per_file(stage, golden, tmp_path: Path) -> None:
    client = FakeClient(gates={"file 1": Gate()})
    async with stage(client) as on:
        await on.press("f2", "a")
        await on.type(str(tmp_path))
        await on.press("enter")
        await on.until(lambda: len(on.said(said.AddMoved)) == 2)
        await on.pilot.pause()
        library = on.screen(Library)
        assert library.adding
        assert "1/2 files · 12 chunks · 80 s left · /media/usb/b.pdf" in library.progress.text
        golden("library_adding", on.shown())
        client.gates["file 1"].opened.set()
        await on.settle()
        assert library.done == [
            "ok        /media/usb/a.pdf  3 pages, 12 chunks",
            "failed    /media/usb/b.pdf  needs a password",
        ]
        assert not library.adding
        assert library.progress.text.startswith("1 ok, 1 failed · 4 s · 41 chunks/s")
        assert len(library.rows.texts) == 2
        await on.press("escape")
        assert on.screen(Ask).bar.text.rstrip().endswith("2 documents")


async def test_escape_stops_the_add_and_stays_in_the_library(stage, tmp_path: Path) -> None:
    client = FakeClient(gates={"file 1": Gate()})
    async with stage(client) as on:
        await on.press("f2", "a")
        await on.type(str(tmp_path))
        await on.press("enter")
        await on.until(lambda: len(on.said(said.AddMoved)) == 2)
        await on.press("escape")
        await on.settle()
        library = on.screen(Library)
        assert len(on.said(said.Stopped)) == 1
        assert library.progress.text.startswith("Stopped. What was done stays")
        assert client.calls[-1] == "documents"


async def test_a_path_that_is_not_there(stage) -> None:
    async with stage() as on:
        await on.press("f2", "a")
        await on.type("/no/such\x1b[31mplace")
        await on.press("enter")
        assert on.screen(Library).status.text == "There is no file or folder /no/such\ufffdplace."
        assert "add" not in on.client.calls


async def test_an_add_that_fails_as_a_whole(stage, tmp_path: Path) -> None:
    async with stage(FakeClient(errors={"add": SandboxUnavailable("No Landlock.")})) as on:
        await on.press("f2", "a")
        await on.type(str(tmp_path))
        await on.press("enter")
        await on.settle()
        assert on.screen(Library).status.text.startswith("No Landlock. A kernel with Landlock")
        assert not on.screen(Library).adding


async def test_tab_completes_the_path(stage, tmp_path: Path) -> None:
    (tmp_path / "manuals").mkdir()
    async with stage() as on:
        await on.press("f2", "a")
        await on.type(f"{tmp_path}/man")
        await on.press("tab")
        assert on.screen(Library).path.value == f"{tmp_path}/manuals/"


async def test_remove_asks_first(stage, golden) -> None:
    async with stage() as on:
        await on.press("f2")
        await on.settle()
        await on.press("x")
        assert "pump-manual.pdf" in on.screen(Confirm).question
        golden("confirm", on.shown())
        await on.press("n")
        await on.settle()
        assert "remove" not in on.client.calls
        await on.press("x", "y")
        await on.settle()
        assert "remove" in on.client.calls
        assert on.screen(Library).rows.texts == []
        assert on.screen(Library).status.text == "No documents yet. Press a to add a file or a folder."


async def test_filter(stage) -> None:
    async with stage(
        FakeClient(library=[fake_document(n, f"{name}.pdf") for n, name in enumerate("ab", 1)])
    ) as on:
        await on.press("f2")
        await on.settle()
        await on.press("slash", "B")
        library = on.screen(Library)
        assert [each.name for each in library.shown] == ["b.pdf"]
        assert library.status.text == "1 of 2 match. Esc shows all."
        await on.press("enter", "enter")
        await on.settle()
        assert on.screen(Reader).wanted.name == "b.pdf"
        await on.press("escape", "escape")
        assert len(library.shown) == 2


def test_completion_offers_what_begins_so(tmp_path: Path) -> None:
    for name in ("beta.pdf", "alpha.pdf", ".hidden", "evil\u202efdp.exe"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    assert complete(f"{tmp_path}/") == f"{tmp_path}/alpha.pdf"
    assert complete(f"{tmp_path}/b") == f"{tmp_path}/beta.pdf"
    assert complete(f"{tmp_path}/fo") == f"{tmp_path}/folder/"
    assert complete(f"{tmp_path}/.h") == f"{tmp_path}/.hidden"
    assert complete(f"{tmp_path}/evil") is None
    assert complete(f"{tmp_path}/beta.pdf") is None
    assert complete("/no/such/folder/x") is None
    assert complete("\x00/") is None


def test_typed_paths() -> None:
    assert typed("  '/a b/c.pdf' ") == Path("/a b/c.pdf")
    assert typed("~/x") == Path.home() / "x"


def test_progress_without_anything_to_judge_by() -> None:
    assert shape.progress_row(Progress(0, 0, 0, "x", None), 60) == "░" * 12 + " 0/0 files · 0 chunks · x"


def test_an_add_of_nothing_says_so() -> None:
    assert shape.added_row(Added((), 0.2, 0.0)) == "no files found · 0 s · 0 chunks/s"
    assert shape.added_row(Added((), 0.2, 0.0, hidden=2)).endswith(" · 2 hidden, left out")


def test_a_hostile_file_name_is_one_clean_line() -> None:
    row = shape.file_row(FileResult("a\nb\x1b]0;x\x07.pdf", "failed", reason="bad\nnews"), 80)
    assert row == "failed    a b\ufffd.pdf  bad news"


def test_the_reason_is_whole_and_the_path_loses_its_beginning() -> None:
    row = shape.file_row(
        FileResult("/media/usb/a very long folder/report.pdf", "failed", reason="needs a password"), 52
    )
    assert row == "failed    \u2026 long folder/report.pdf  needs a password"
    assert len(row) <= 52


def test_times_as_people_say_them() -> None:
    assert [shape.duration(s) for s in (0.4, 89, 90, 3600, 7200)] == [
        "0 s",
        "89 s",
        "2 min",
        "60 min",
        "2.0 h",
    ]
    assert [shape.milliseconds(ms) for ms in (84, 1250)] == ["84 ms", "1.2 s"]


def test_columns_are_cells_not_characters() -> None:
    assert shape.fit("\u6f22\u5b57\u6f22", 5) == "\u6f22\u5b57\u2026"
    assert shape.fit("abc", 5) == "abc  "
    assert shape.fit("abc", 0) == ""
