"""Checklist row 39: a folder on somebody's medium leads nowhere but into itself."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from appliance import sandbox
from appliance.errors import ParseError
from appliance.ingest.parse.nursery import Nursery, parse_file
from appliance.ingest.walk import found


@pytest.fixture
def medium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one good file, a secret outside, and every way that leads elsewhere."""
    (tmp_path / "secret.txt").write_text("the secret\n")
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "secret.txt").write_text("the secret\n")
    folder = tmp_path / "medium"
    folder.mkdir()
    (folder / "good.txt").write_text("Good.\n")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "relative.txt").symlink_to("../secret.txt")
    (folder / "chain.txt").symlink_to("link.txt")
    (folder / "folder").symlink_to(tmp_path / "private", target_is_directory=True)
    (folder / "root").symlink_to("/")
    (folder / "self").symlink_to(folder)
    (folder / "circle").symlink_to("circle")
    (folder / "dangling").symlink_to("nothing")
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "memory").symlink_to("/proc/self/mem")
    os.mkfifo(folder / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as made:
        monkeypatch.chdir(folder)  # the path of a socket has at most 107 bytes
        made.bind("socket")
    (folder / ".hidden").write_text("autorun\n")
    return folder


def test_nothing_outside_is_followed(medium: Path) -> None:
    items = found([medium])
    assert [item.name for item in items if not item.problem] == ["good.txt"]
    assert all(Path(item.source).parent == medium for item in items)
    reasons = {item.name: item.problem for item in items if item.problem}
    assert len(reasons) == 12
    assert {name for name, why in reasons.items() if "link" not in why} == {"pipe.txt", "socket"}


def test_a_device_is_no_document(medium: Path) -> None:
    try:
        os.mknod(medium / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root can make a device")
    reasons = {item.name: item.problem for item in found([medium])}
    assert reasons["null"] == "It is not a regular file."


def test_what_the_user_names_is_followed_once_and_told_by_its_real_name(medium: Path) -> None:
    (item,) = found([medium / "link.txt"])
    assert (item.name, item.path) == ("secret.txt", medium.parent / "secret.txt")
    (circle,) = found([medium / "circle"])
    assert circle.problem


def test_deep_and_many_folders_come_to_an_end(tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    for _ in range(150):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "unreached.txt").write_text("x\n")
    many = tmp_path / "many"
    many.mkdir()
    for number in range(3000):
        (many / f"{number}.txt").touch()
    items = found([tmp_path])
    assert [item.problem for item in items if "d/d" in item.name] == ["The folder is nested too deeply."]
    assert sum(not item.problem for item in items) == 3000


@pytest.mark.skipif(not sandbox.level().full, reason="needs a kernel with Landlock and seccomp")
def test_a_link_put_there_after_the_look_is_not_followed(medium: Path) -> None:
    (item,) = (item for item in found([medium]) if not item.problem)
    item.path.unlink()
    item.path.symlink_to(medium.parent / "secret.txt")
    with Nursery() as shelter, pytest.raises(ParseError, match="link, which is not followed"):
        parse_file(shelter, item.path)
