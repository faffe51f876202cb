"""What MkDocs and GitHub add to Markdown; what others write in it is left as it is."""

from __future__ import annotations

import time

import pytest

from appliance.ingest.parse import formats, mkdocs
from appliance.ingest.parse.blocks import Bounds


def shape(text: str) -> list[tuple[int, str]]:
    """The level of each heading, 0 of what is none, and its text."""
    return [(block.level, block.text) for block in formats.parse(text.encode(), "a.md", Bounds()).blocks]


def test_notes_and_tabs_are_read_under_their_titles() -> None:
    text = (
        '# Start\n=== "11LT"\n\n    !!! tip "Daily"\n        - `one`\n\n          more\n'
        '    ???+ info inline "Yearly"\n\n        **Two**, and\n        three.\n\n=== "13LT"\n    Four.\n'
        "    !!! danger\n\n        Five.\n\n## End\n\nSix.\n"
    )
    assert shape(text) == [
        (1, "Start"),
        (2, "11LT"),
        (3, "Daily"),
        (0, "- one"),
        (0, "more"),
        (3, "Yearly"),
        (0, "Two, and three."),
        (2, "13LT"),
        (0, "Four."),
        (0, "Danger: Five."),
        (2, "End"),
        (0, "Six."),
    ]


def test_what_follows_a_note_does_not_come_under_its_title() -> None:
    text = '# Start\n\n!!! tip "Seals"\n    Grease them.\n!!! tip "Wet?"\n    Wait.\nThen go on.\n'
    assert shape(text) == [
        (1, "Start"),
        (0, "Seals:"),
        (0, "Grease them."),
        (0, "Wet?"),
        (0, "Wait."),
        (0, "Then go on."),
    ]


def test_a_note_in_a_step_leaves_the_steps_together() -> None:
    text = '1. Open it.\n\n    !!! note "Seals"\n        - Old ones leak.\n\n2. Close it.\n'
    assert [words for _, words in shape(text)] == [
        "1. Open it.",
        "Seals:",
        "- Old ones leak.",
        "2. Close it.",
    ]


def test_attributes_captions_abbreviations_and_alerts() -> None:
    text = (
        "## Pump { #pump .wide }\n\n![The pump](p.png){: .x width='20%' }\n/// caption\nIts *back*\n///\n\n"
        "Use `a { .b }` here.\n\n> [!WARNING]\n> Hot.\n\n*[UPS]: Backup\n*[AC]: Mains\n"
    )
    assert shape(text) == [
        (2, "Pump"),
        (0, "The pump"),
        (0, "Its back"),
        (0, "Use a { .b } here."),
        (0, "Warning: Hot."),
        (0, "UPS: Backup"),
        (0, "AC: Mains"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        '```\n!!! note "T"\n    body\n=== "T"\n    body\n/// a\n///\n```\n',
        'Words:\n\n    !!! note "T"\n        body { .x }\n',
        "!!! note\nnothing set in\n\n!!!\n    stop\n",
        "/// one alone  \n\nif (a) { .5 } else {b}  \n",
        '!!! note "last"',
    ],
)
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert mkdocs.to_markdown(text) == text


def test_code_in_a_note_keeps_its_form_and_ends_with_it() -> None:
    text = (
        '!!! note\n    ```py\n    if a:\n\n        !!! b\n            c\nOut.\n\n!!! tip "In"\n    Words.\n'
    )
    assert [words for _, words in shape(text)] == [
        "Note:",
        "if a:\n\n    !!! b\n        c",
        "Out.",
        "In",
        "Words.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "".join(f'{" " * 4 * depth}!!! note "T"\n' for depth in range(2000)),
        '!!! note "T"\n    x\n' * 20_000,
        "/// a\n" * 20_000 + "///\n" * 20_000,
        "{ .a " * 50_000,
        "[x]{ a=" * 50_000,
        '=== "x' * 50_000,
    ],
)
def test_hostile_text_costs_no_more_than_its_length(text: str) -> None:
    began = time.perf_counter()
    mkdocs.to_markdown(text)
    assert time.perf_counter() - began < 3


@pytest.mark.parametrize(
    "text",
    [
        "Call `arr[0]{x=1} and more` now",
        "Svelte begins a block with {#if}",
        "in f(x){x=1} holds",
        "the set {.x} of it",
        "*[Note]: this is in italics*",
    ],
)
def test_braces_in_a_sentence_are_text(text: str) -> None:
    assert mkdocs.to_markdown(text) == text


def test_attributes_of_links_and_headings_go() -> None:
    text = "## Setup { #setup .wide }\n\n![A pump](pump.png){ width=300 } and [more](x.md){:target=_blank}\n"
    text += "{: .note }"
    assert mkdocs.to_markdown(text).split() == "## Setup ![A pump](pump.png) and [more](x.md)".split()
