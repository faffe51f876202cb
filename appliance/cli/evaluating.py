"""The command that measures: a set of questions is asked through the real pipeline."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from appliance import __version__, models
from appliance.clean import clean_line
from appliance.cli.asking import unlocked
from appliance.cli.output import Bar, Options, duration, narrate, print_json
from appliance.cli.staging import ended_by_signals
from appliance.cli.subject import Opened, Subject, of_folder, of_set, of_vault
from appliance.config import Config
from appliance.errors import UsageError
from appliance.evaluation import report, run, sets
from appliance.evaluation.library import Library
from appliance.evaluation.report import Run
from appliance.evaluation.row import Row
from appliance.evaluation.run import FORMAT, Header, RunFile
from appliance.evaluation.sets import QuestionSet
from appliance.types import PASSAGES

SOME_FAILED = 4
RANKED: Final = 50
"""Passages asked for where nothing but the ranking of documents is judged."""
_NAMED: Final = 3


def evaluate(options: Options, settings: Config) -> int:
    """Ask every question of a set and print the figures; exit code 4 where a document could not be added."""
    asked = sets.load(options.set, split=options.split)
    if asked.sources is not None and options.documents is not None:
        raise UsageError("This set brings its own documents.", hint="Leave out --documents.")
    if options.documents is not None and not options.documents.is_dir():
        raise UsageError(f"{options.documents} is no folder.")
    asked, against = asked.sample(options.limit, seed=options.seed), _other(options.against, asked)
    with ended_by_signals(), ExitStack() as stack:
        subject = _subject(options, settings, asked, stack)
        header = _header(options, settings, asked, subject.digest)
        measured = Run(header, _rows(options.out, header, asked, subject.opened))
    if options.json:
        print_json(report.as_json(measured, against))
    else:
        print(report.table(measured, against), end="")
    return SOME_FAILED if measured.failed else 0


def _subject(options: Options, settings: Config, asked: QuestionSet, stack: ExitStack) -> Subject:
    """Return what the set is asked about; a vault that was named is opened until the end of `stack`."""
    if asked.sources is not None:
        return of_set(options, settings, asked.sources, asked.questions)
    if options.documents is not None:
        return of_folder(options, settings, options.documents, asked.questions)
    return of_vault(stack.enter_context(unlocked(options, settings)), asked.questions)


def _other(path: Path | None, asked: QuestionSet) -> Run | None:
    """Return the run to compare with, looked at before hours are spent."""
    if path is None:
        return None
    other = Run(*run.read(path))
    if {row.id for row in other.rows}.isdisjoint(each.id for each in asked.questions):
        raise UsageError(f"{path} has no question of this set.", hint="Compare runs of the same set.")
    if other.header.questions != asked.digest:
        narrate(f"{path} is of a file that differs from this set: its questions are compared by their ids.")
    return other


def _header(options: Options, settings: Config, asked: QuestionSet, documents: str) -> Header:
    judged = asked.kind != "beir"  # else there is no answer to compare with
    generate = judged and not options.quotes_only
    used = [name for name in settings.models if generate or name != settings.generator]
    return Header(
        appliance_eval=FORMAT,
        version=__version__,
        set=asked.name,
        kind=asked.kind,
        split=asked.split,
        questions=asked.digest,
        documents=documents,
        models=models.hashes(used, settings.model_folders),
        weights=models.weights(used, settings.model_folders),
        settings=settings.digest(),
        passages=PASSAGES if judged else RANKED,
        generate=generate,
        refusal=options.refusal or settings.refusal,
        limit=options.limit,
        seed=options.seed,
    )


def _rows(out: Path | None, header: Header, asked: QuestionSet, opened: Opened) -> list[Row]:
    """Ask what is not in the run file yet; return all rows."""
    with ExitStack() as stack:
        file = stack.enter_context(RunFile.opened(out, header)) if out else None
        rows = list(file.rows) if file else []
        left = asked.without({row.id for row in rows})
        if rows:
            narrate(f"{len(rows)} of {len(asked.questions)} questions are in {out} already.")
        if not left.questions:
            return rows

        def keep(row: Row) -> None:
            if file:
                file.write(row)
            rows.append(row)

        client, library = stack.enter_context(opened)
        _tell_other(rows, library)
        _tell_missing(library, asked)  # of all: what is left of a run may well be about what is not there
        _follow(run.ask(client, left, library=library, header=header, keep=keep, clock=time.monotonic))
    return rows


def _follow(steps: Iterator[run.Step]) -> None:
    """Draw how far the questions are; where stderr is no terminal, say it ten times."""
    told = 0
    with closing(Bar()) as bar:
        for step in steps:
            eta = "" if step.eta_s is None else f", {duration(step.eta_s)} left"
            line = f"{step.done}/{step.total} questions{eta}"
            bar.write(line)
            if not sys.stderr.isatty() and step.done * 10 // step.total > told:
                told = step.done * 10 // step.total
                narrate(line)


def _tell_other(rows: Sequence[Row], library: Library) -> None:
    """Hold what was added now against what the rows of a run were measured on.

    Raises:
        UsageError: it is less or more.
    """
    other = [row.failed for row in rows if row.failed != library.failed]
    if other:
        raise UsageError(
            f"This is another run: {other[0]} documents could not be added then, now {library.failed}.",
            hint="Nothing was written. Name another file with --out; --against compares the two.",
        )


def _tell_missing(library: Library, asked: QuestionSet) -> None:
    """Say which documents the questions name in vain.

    Raises:
        UsageError: it is all of them.
    """
    named = {name for each in asked.questions for name, grade in each.grades.items() if grade > 0}
    missing = sorted(named.intersection(library.missing))
    if not missing:
        return
    shown = ", ".join(clean_line(name) for name in missing[:_NAMED]) + (" ..." if missing[_NAMED:] else "")
    if len(missing) == len(named):
        raise UsageError(
            f"No document that the questions name is there: {shown}.",
            hint="`appliance list` shows the names; `--documents FOLDER` brings a folder of them.",
        )
    narrate(f"{len(missing)} documents that the questions name are not there and count as not found: {shown}")
