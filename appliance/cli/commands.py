"""The commands for documents and questions. Each takes the options and the settings, returns an exit code."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence

from appliance import render
from appliance.clean import clean_line
from appliance.cli.asking import given, must_exist, new_passphrase, unlocked, ways
from appliance.cli.output import Options, finished, followed, narrate, print_json, show_report, styled
from appliance.client import Client
from appliance.config import Config
from appliance.errors import ApplianceError, UsageError, VaultExists
from appliance.ingest.walk import readable
from appliance.types import Answer, Answered, Document, EvidenceFound

NOT_IN_DOCUMENTS = 3
SOME_FAILED = 4
_SUGGESTED = 3


def init(options: Options, settings: Config) -> int:
    """Make a vault."""
    if ways(options):
        raise UsageError(
            "A vault begins with a passphrase.", hint="`appliance keys add` lets others open it."
        )
    if settings.vault_folder(options.vault).exists():
        raise VaultExists(f"There is a vault {options.vault!r} already.")
    (settings.home / "vaults").mkdir(mode=0o700, parents=True, exist_ok=True)  # all a worker may write to
    with Client(settings) as client, new_passphrase(options) as secret:
        client.init(options.vault, secret, cipher=options.cipher)
    folder = settings.vault_folder(options.vault)
    if options.json:
        print_json({"vault": options.vault, "folder": str(folder)})
    narrate(
        f"Made the vault {options.vault!r} in {folder}.\nNobody can open it without the passphrase: keep it."
    )
    return 0


def add(options: Options, settings: Config) -> int:
    """Store documents; exit code 4 where some failed."""
    with unlocked(options, settings) as client:
        done = finished(client.add(options.paths), options)
    if options.json:
        print_json(render.added_json(done))
    narrate(render.added(done))
    return SOME_FAILED if any(item.status in ("failed", "no-text") for item in done.files) else 0


def ask(options: Options, settings: Config) -> int:
    """Answer one question, or one a line from stdin."""
    # What is not UTF-8 in an argument reaches Python as half characters, which no JSON may hold.
    asked = os.fsencode(" ".join(options.question)).decode("utf-8", "replace").strip()
    if not asked:
        raise UsageError("There is no question.", hint="Ask one, or give '-' to read questions from stdin.")
    with unlocked(options, settings) as client:
        if asked == "-":
            answers = [_asked_aloud(client, line.strip(), options) for line in sys.stdin if line.strip()]
        else:
            answers = [_ask_one(client, asked, options)]
    return NOT_IN_DOCUMENTS if any(given.abstained for given in answers) else 0


def _asked_aloud(client: Client, question: str, options: Options) -> Answer:
    """Answer one of several questions, which stands above its answer."""
    if not options.json:
        print(f"? {clean_line(question)}", flush=True)
    return _ask_one(client, question, options)


def _ask_one(client: Client, question: str, options: Options) -> Answer:
    width = min(shutil.get_terminal_size().columns, 100)
    given = shown = None
    for event in client.ask(question, level=options.refusal):
        if isinstance(event, EvidenceFound) and not options.json:
            shown = event.evidence
            print(render.evidence(shown, width, styled=styled()), flush=True)
        elif isinstance(event, Answered):
            given = event.answer
    if given is None:
        raise ApplianceError("The worker sent no answer.")
    if options.json:
        print_json(render.answer_json(given))
    else:
        print(render.answer(given, width, shown=shown), flush=True)
        narrate(render.timings(given.timings))
    if said := render.searched_for(given, width):
        narrate(said)
    return given


def listing(options: Options, settings: Config) -> int:
    """List the documents."""
    with unlocked(options, settings) as client:
        stored = client.documents()
    if options.json:
        print_json({"documents": [render.document_json(item) for item in stored]})
    else:
        print(render.documents(stored), end="")
    return 0


def show(options: Options, settings: Config) -> int:
    """Print a document."""
    with unlocked(options, settings) as client:
        document = _find(client.documents(), options.document)
        shown = client.pages(document.id)
    if options.page is not None:
        numbers = [page.page for page in shown if page.page is not None]
        shown = tuple(page for page in shown if page.page == options.page)
        if not shown:
            there = (
                f"It has {numbers[0]} to {numbers[-1]}." if numbers else "It has no pages: leave --page out."
            )
            raise UsageError(f"{clean_line(document.name)} has no page {options.page}.", hint=there)
    if options.json:
        texts = [{"page": page.page, "text": page.text} for page in shown]
        print_json(render.document_json(document) | {"text": texts})
    else:
        print(render.pages(shown), end="")
    return 0


def remove(options: Options, settings: Config) -> int:
    """Erase documents."""
    with unlocked(options, settings) as client:
        stored = client.documents()
        chosen = [_find(stored, wanted) for wanted in options.documents]
        for document in chosen:
            client.remove(document.id)
            narrate(f"Removed {clean_line(document.name)} and everything derived from it.")
    if options.json:
        print_json({"removed": [document.name for document in chosen]})
    return 0


def verify(options: Options, settings: Config) -> int:
    """Check the store."""
    with unlocked(options, settings) as client:
        return show_report(followed(client.verify(full=options.full), client.cancel), options)


def models(options: Options, settings: Config) -> int:
    """Check the models."""
    with Client(settings) as client:
        return show_report(client.models(), options)


def doctor(options: Options, settings: Config) -> int:
    """Report the posture."""
    with Client(settings) as client:
        return show_report(client.doctor(options.vault), options)


def tui(options: Options, settings: Config) -> int:
    """Open the terminal UI."""
    # Imported here: Textual costs a quarter of a second that no other command should pay.
    from tui.app import Appliance, run

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "The terminal UI needs a terminal.", hint="Use `appliance ask`, `add`, `list` in scripts."
        )
    with Client(settings) as client:
        named = bool(options.passphrase_file or ways(options))
        if named:
            must_exist(options, settings)
            with given(options, client) as secret:
                client.unlock(options.vault, secret, accept_weaker=options.accept_weaker)
        app = Appliance(
            client,
            vault=options.vault,
            unlocked=named,
            lock_minutes=settings.lock_minutes,
            accept_weaker=options.accept_weaker,
        )
        return run(app)


def _find(stored: Sequence[Document], wanted: str) -> Document:
    by_id = [item for item in stored if str(item.id) == wanted]
    found = [item for item in stored if item.name == readable(wanted)] or by_id
    if by_id and by_id != found:  # a wrong guess would erase the wrong document
        raise UsageError(
            f"{clean_line(wanted)!r} is the id of one document and the name of another.",
            hint=f"By id it is {found[0].id}; the other is called {clean_line(by_id[0].name)!r}.",
        )
    if not found:
        part = readable(wanted).casefold()
        near = [clean_line(item.name) for item in stored if part in item.name.casefold()][:_SUGGESTED]
        meant = f"Is it {' or '.join(near)}? " if near else ""
        raise UsageError(
            f"No document {clean_line(wanted)!r} in the vault.", hint=f"{meant}`appliance list` shows them."
        )
    if len(found) > 1:
        ids = (f"{item.id} ({clean_line('; '.join((item.source, *item.lost[:1])))})" for item in found)
        raise UsageError(
            f"{clean_line(wanted)!r} is the name of {len(found)} documents.",
            hint=f"Name one by its id: {' or '.join(ids)}.",
        )
    return found[0]
