"""A site's settings, read strictly."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance import config
from appliance.errors import UsageError


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert config.load(tmp_path) == config.Config(home=tmp_path)


def test_a_file_overrides_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('generator = ""\nthreads = 2\nrerank = 0\nrefusal = "open"\n')
    expected = config.Config(home=tmp_path, generator="", threads=2, rerank=0, refusal="open")
    assert config.load(tmp_path) == expected


@pytest.mark.parametrize(
    "text",
    [
        "refusal = 'severe'",
        "rerank = -1",
        "threads = 'two'",
        "thread = 2",
        "threads = -1",
        "threads = true",
        "=",
        "threads = 2.0",
        "home = '/x'",
    ],
)
def test_a_mistake_is_named_and_nothing_is_guessed(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(UsageError, match=r"config\.toml"):
        config.load(tmp_path)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "-x", "a\nb", "é", "a" * 64, "a\x1b[31m"])
def test_a_vault_name_cannot_leave_the_folder_or_act_on_a_terminal(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        config.Config(home=tmp_path).vault_folder(name)


def test_a_settings_file_that_cannot_be_read_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        config.load(tmp_path)


def test_a_home_that_is_a_file_holds_no_settings(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert config.load(tmp_path / "file") == config.Config(home=tmp_path / "file")


def test_more_threads_than_cores_are_not_started(tmp_path: Path) -> None:
    assert config.Config(home=tmp_path, threads=10**6).cores == config.Config(home=tmp_path).cores
    assert config.Config(home=tmp_path, threads=1).cores == 1


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPLIANCE_HOME", "~nobody-of-this-name/x")
    with pytest.raises(UsageError, match="home") as caught:
        config.default_home()
    assert "APPLIANCE_HOME" in caught.value.hint


def test_the_state_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPLIANCE_HOME", "/somewhere")
    assert config.default_home() == Path("/somewhere")
    monkeypatch.delenv("APPLIANCE_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert config.default_home() == Path("/data/appliance")
