"""Documents made up for the reader (scripts/authored) -> questions asked in other words than the text's.

Published sets ask about encyclopedias, mostly in the words of the sentence that answers. People who ask a
manual or a policy know the situation and not the term: "how many people fit in" for the licensed capacity.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from zlib import crc32

from scripts.reader_asked import PATH, UNKNOWN, Asked

FOLDER: Final = Path(__file__).parent / "authored"


def written(folder: Path = FOLDER) -> Iterator[Asked]:
    """Yield the questions of all documents; what has no answer is asked of the section nearest to it.

    Raises:
        ValueError: an answer does not stand in its section word for word.
    """
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            document = json.loads(line)
            yield from (_asked(document, each) for each in document["questions"])


def _asked(document: dict[str, Any], question: dict[str, Any]) -> Asked:
    section = document["sections"][question["section"]]
    text, answer = section["text"], question["answer"]
    start = text.find(answer) if answer else crc32(question["q"].encode()) % len(text)
    if start < 0:
        raise ValueError(f"{document['title']}: {answer!r} does not stand in {section['heading']!r}.")
    return Asked(
        source="authored",
        document=f"authored/{document['title']}",
        title=f"{document['title']}{PATH}{section['heading']}",
        question=question["q"],
        text=text,
        span=(start, start + len(answer)) if answer else None,
        near=start,
        relevant=1 if answer else UNKNOWN,
        answerable=int(bool(answer)),
        answers=(answer,) if answer else (),
    )
