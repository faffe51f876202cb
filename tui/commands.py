"""What a user can do, as data: key, footer and help come from one class per command.

A key press becomes an instance of the class, posted as a message by the screen on which it was pressed.
"""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message


class Command(Message):
    """Something a key does. The docstring of a command is its line in the help."""

    key: ClassVar[str]
    label: ClassVar[str]
    footer: ClassVar[bool] = True

    @classmethod
    def help(cls) -> str:
        """Return the line of the help screen."""
        return (cls.__doc__ or "").strip()

    @classmethod
    def shown_key(cls) -> str:
        """Return the key as people write it."""
        return " ".join(_SHOWN.get(key, _written(key)) for key in cls.key.split(","))

    @classmethod
    def is_letter(cls) -> bool:
        """Tell whether the key is a character that a text field would take."""
        return len(cls.key.split(",")[0]) == 1 or cls.key == "slash"


_SHOWN = {"escape": "Esc", "slash": "/", "right": "Right", "left": "Left"}


def _written(key: str) -> str:
    if key.startswith("ctrl+"):
        return f"^{key[5:].upper()}"
    return key.upper() if len(key) > 1 else key


class ShowHelp(Command):
    """Show every key."""

    key, label = "f1", "Help"


class ShowLibrary(Command):
    """List, add and remove documents."""

    key, label = "f2", "Library"


class ShowChecks(Command):
    """Check the store and this machine's posture."""

    key, label = "f3", "Checks"


class Lock(Command):
    """Lock now: forget the key, clear the screen and its scrollback."""

    key, label = "ctrl+l", "Lock"


class Quit(Command):
    """Leave; the vault is locked."""

    key, label = "ctrl+q", "Quit"


class Stop(Command):
    """Stop what is running."""

    key, label, footer = "ctrl+c", "Stop", False


class Back(Command):
    """Stop what is running; else go back, or to the question."""

    key, label = "escape", "Stop/Back"


class NewQuestion(Command):
    """Type a question."""

    key, label = "slash", "Ask"


class OpenPage(Command):
    """Read the page of the chosen passage (Enter does the same)."""

    key, label = "o", "Page"


class ShowUnsupported(Command):
    """Show or hide the sentences that failed the check."""

    key, label, footer = "u", "Unsupported", False


class AddFiles(Command):
    """Add a file or a folder by its path."""

    key, label = "a", "Add"


class RemoveDocument(Command):
    """Remove the chosen document, after a question."""

    key, label = "x", "Remove"


class FilterDocuments(Command):
    """Show only the documents whose name holds the words typed."""

    key, label = "slash", "Filter"


class ReadDocument(Command):
    """Read the chosen document (Enter does the same)."""

    key, label = "o", "Read"


class NextPage(Command):
    """Go to the next page."""

    key, label = "n,right", "Next"


class PreviousPage(Command):
    """Go to the page before."""

    key, label = "p,left", "Previous"


class FindText(Command):
    """Find words in this document; Enter goes to the next place."""

    key, label = "slash", "Find"


class BackToQuote(Command):
    """Go back to the quote."""

    key, label = "q", "Quote"


class RunDoctor(Command):
    """Look at this machine and installation."""

    key, label = "d", "Doctor"


class VerifyQuickly(Command):
    """Check the store's structure and seals."""

    key, label = "v", "Verify"


class VerifyFully(Command):
    """Check every page, chunk and vector of the store; this takes a while."""

    key, label = "f", "Verify all"


class SayYes(Command):
    """Do it."""

    key, label = "y", "Yes"


class SayNo(Command):
    """Leave it."""

    key, label = "n,escape", "No"


EVERYWHERE: tuple[type[Command], ...] = (ShowHelp, ShowLibrary, ShowChecks, Lock, Quit, Stop)
ASK: tuple[type[Command], ...] = (Back, NewQuestion, OpenPage, ShowUnsupported)
LIBRARY: tuple[type[Command], ...] = (Back, AddFiles, RemoveDocument, ReadDocument, FilterDocuments)
READER: tuple[type[Command], ...] = (Back, NextPage, PreviousPage, FindText, BackToQuote)
CHECKS: tuple[type[Command], ...] = (Back, RunDoctor, VerifyQuickly, VerifyFully)
UNLOCK: tuple[type[Command], ...] = (Quit, Stop)
ALWAYS_SHOWN: tuple[type[Command], ...] = (ShowHelp, Lock, Quit)
CONFIRM: tuple[type[Command], ...] = (SayYes, SayNo)

SECTIONS: tuple[tuple[str, tuple[type[Command], ...]], ...] = (
    ("Everywhere", EVERYWHERE),
    ("Ask", ASK),
    ("Library", LIBRARY),
    ("Reader", READER),
    ("Checks", CHECKS),
)


def bindings(commands: tuple[type[Command], ...]) -> list[BindingType]:
    """Return the key bindings of `commands`, for a screen that answers the action `do`.

    All have priority: the application then acts on a key before it passes on the next one. A slow line
    delivers "/seal" as one packet, and no letter of it may go where the focus was before.
    """
    return [
        Binding(each.key, f"screen.do('{each.__name__}')", each.label, priority=True) for each in commands
    ]


def named(name: str) -> type[Command]:
    """Return the command of that class name.

    Raises:
        KeyError: there is none.
    """
    return {command.__name__: command for command in Command.__subclasses__()}[name]


def footer(commands: tuple[type[Command], ...], *, typing: bool) -> str:
    """Return the keys that the last line of a screen shows; while one is typing, letters are text."""
    shown = [each for each in commands if each.footer and not (typing and each.is_letter())]
    return "  ".join(f"{each.shown_key().split()[0]} {each.label}" for each in shown)
