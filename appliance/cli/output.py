"""What is printed: JSON and reports to stdout, progress and narration to stderr."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from appliance import render
from appliance.clean import clean_line
from appliance.errors import ApplianceError
from appliance.types import Added, Checking, FileDone, Progress, Report

CHECK_FAILED = 6
Options = argparse.Namespace


def finished(events: Iterator[Any], options: Options) -> Added:
    """Draw an add as it goes; return its end."""
    done = None
    with closing(Bar()) as bar:
        for event in events:
            if isinstance(event, Progress):
                bar.show(event)
            elif isinstance(event, FileDone):
                bar.close()
                line = render.file_line(event.result)
                narrate(line) if options.json else print(line, flush=True)
            elif isinstance(event, Added):
                done = event
    if done is None:
        raise ApplianceError("The worker sent no result.")
    return done


def followed(events: Iterator[Any], cancel: Callable[[], None]) -> Any:
    """Draw how far a long call is; return its result.

    Ctrl+C calls `cancel`, and what came of that is waited for: a rotation may be past the point of no return,
    and then what it made has to be told.
    """
    last = None
    with closing(Bar()) as bar, ExitStack() as until_here:
        for event in events:
            if last is None:  # before, nothing was changed, and the call may be half sent
                until_here.enter_context(_ctrl_c(cancel))
            if isinstance(event, Checking):
                share = f" {min(event.done / event.total, 1):.0%}" if event.total else ""
                bar.write(f"{event.name}{share}")
            last = event
    return last


@contextmanager
def _ctrl_c(act: Callable[[], None]) -> Iterator[None]:
    """Have the first Ctrl+C call `act`; the second is as always. What was done is told without a third."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield  # whoever started us wants something else
        return

    def once(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        act()

    signal.signal(signal.SIGINT, once)
    try:
        yield
    except BaseException:
        signal.signal(signal.SIGINT, before)
        raise
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Bar:
    """One line of progress on a terminal's stderr, redrawn in place; nothing where stderr is no terminal."""

    def __init__(self) -> None:
        self._drawn = False

    def show(self, progress: Progress) -> None:
        """Draw how far an add has come."""
        eta = "" if progress.eta_s is None else f", {duration(progress.eta_s)} left"
        line = f"{progress.files_done}/{progress.files_total} files, {progress.chunks_done} chunks{eta}  "
        self.write(line + progress.current)

    def write(self, line: str) -> None:
        """Draw a line in the place of the last."""
        if not sys.stderr.isatty():
            return
        room = shutil.get_terminal_size().columns - 1
        sys.stderr.write("\r\x1b[K" + clean_line(line)[:room])
        sys.stderr.flush()
        self._drawn = True

    def close(self) -> None:
        """Take the line away, whatever comes next: a result, an error, or another line."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False


def duration(seconds: float) -> str:
    """Return how long something takes, in words."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def show_report(found: Report, options: Options) -> int:
    """Print a report; return 6 where a check failed."""
    if options.json:
        print_json(render.report_json(found))
    else:
        print(render.report(found), end="")
    return 0 if found.ok else CHECK_FAILED


def styled() -> bool:
    """Tell whether stdout is a terminal whose user wants emphasis (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object on one line."""
    # ASCII only, DEL too: escapes keep a document's control characters off the terminal.
    print(json.dumps(value).replace("\x7f", "\\u007f"), flush=True)


def narrate(text: str) -> None:
    """Say something that is not data."""
    print(text, file=sys.stderr, flush=True)
