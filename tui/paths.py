"""What was typed of a path -> the path, and its completion."""

from __future__ import annotations

import os
from pathlib import Path

from textual.suggester import Suggester

from appliance.clean import clean_line


def typed(text: str) -> Path:
    """Return the path a user typed, `~` and surrounding quotes included."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    return Path(text).expanduser()


def complete(text: str) -> str | None:
    """Return `text` completed by the first entry of its folder that begins with it, None where none does.

    Hidden entries are offered only when their dot was typed. A name that would have to be cleaned to be
    shown is not offered: what is on screen would not be the file.
    """
    folder, _, start = text.rpartition("/")
    try:
        entries = sorted(os.scandir(Path((folder + "/") if "/" in text else ".").expanduser()), key=_by_name)
    except (OSError, ValueError, RuntimeError):
        return None
    for entry in entries:
        name = entry.name
        if (
            name.startswith(start)
            and name != start
            and clean_line(name) == name
            and (start or name[0] != ".")
        ):
            return text + name[len(start) :] + ("/" if entry.is_dir() else "")
    return None


def _by_name(entry: os.DirEntry[str]) -> str:
    return entry.name


class PathSuggester(Suggester):
    """Offers file names in the field that adds documents."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """Return the completion of `value`."""
        return complete(value)
