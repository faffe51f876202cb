"""The question sets lie with their documents, and what somebody else put there stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import questions


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, and data with nothing in them but one article."""
    monkeypatch.setattr(questions, "SETS", {"absent.jsonl": lambda data: "{}\n"})
    monkeypatch.setattr(questions, "articles", lambda data: [("pumps.html", "<p>Pumps.</p>")])
    made = tmp_path / "out"
    monkeypatch.setattr("sys.argv", ["questions", "--data", str(tmp_path / "data"), "--out", str(made)])
    return made


def test_a_set_lies_beside_its_documents_however_often_it_is_written(out: Path) -> None:
    for _ in range(2):
        questions.main()
        assert (out / "absent" / "pumps.html").read_text() == "<p>Pumps.</p>"
        assert (out / "northwind").is_symlink()


def test_a_folder_in_a_links_place_is_said_and_kept(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (out / "absent").mkdir(parents=True)
    (out / "absent" / "mine.txt").write_text("mine")
    with pytest.raises(SystemExit) as ended:
        questions.main()
    assert ended.value.code == 2
    assert "absent is no link" in capsys.readouterr().err
    assert [path.name for path in out.rglob("*")] == ["absent", "mine.txt"]
