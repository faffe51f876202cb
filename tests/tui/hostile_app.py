"""The application on a client that says hostile things everywhere; test_hostile.py runs it on a real pty."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from appliance.errors import IntegrityError
from appliance.types import Check, Report
from tests.fakes import QUOTE, TEXT, FakeClient, FileResult, fake_document, fake_passage
from tui.app import Appliance, run

MARK = "31337"
HOSTILE = (
    f"\x1b]52;c;{MARK}\x07\x1b]0;{MARK}\x1b\\\x1b[{MARK}m\x1b[2J\x1bP+q{MARK}\x1b\\\x1b_G{MARK}\x1b\\\x1bc"
    f"\x9b{MARK}m\x9d0;{MARK}\x9c\x90{MARK}\x9c\x07\x08\x0e\x00\x7f\r\u202e\u2066\u200f\u061c\u200b\ufeff\u00ad"
    "\U000e0041\ue000\udce9\u0301\u0301\u0301\u0301\u0301\u0301[@click=app.quit]quit[/][red]"
)


class HostileClient(FakeClient):
    """Puts HOSTILE into every text that reaches a screen."""

    def verify(self, *, full: bool) -> Report:
        raise IntegrityError(f"Store {HOSTILE} damaged.", hint=f"Do {HOSTILE} nothing.")

    def doctor(self) -> Report:
        return Report((Check(f"sand{HOSTILE}box", ok=False, detail=f"det{HOSTILE}ail"),))


def hostile_client() -> HostileClient:
    """Return the client: passages, draft, answer, documents, pages, files, checks, errors."""
    passages = tuple(
        replace(
            fake_passage(
                n, document=f"doc{HOSTILE}ument", heading=f"head{HOSTILE}ing", text=HOSTILE + TEXT + HOSTILE
            ),
            lead=f"lead{HOSTILE}",
        )
        for n in (1, 2)
    )
    return HostileClient(
        passages=passages,
        library=[fake_document(1, f"name{HOSTILE}.pdf"), fake_document(2, "b.pdf")],
        page_texts=("x", f"{HOSTILE}{TEXT}{HOSTILE}"),
        draft=(f"draft{HOSTILE}", f"more{HOSTILE}"),
        unsupported=(f"unsupported{HOSTILE}",),
        files=(FileResult(f"/media/{HOSTILE}/a.pdf", "failed", reason=f"why{HOSTILE}"),),
    )


if __name__ == "__main__":
    assert QUOTE in TEXT
    app = Appliance(hostile_client(), vault=os.environ.get("VAULT", "main"), unlocked=True, lock_minutes=15)
    sys.exit(run(app))
