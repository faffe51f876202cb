"""AsciiDoc: its sections and blocks, by the name of the file or by its looks."""

from __future__ import annotations

import time

import pytest

from tests.unit.test_parse_text import read, shape

MANUAL = """= Pump manual
Ann Author <ann@example.org>
:toc: left
:version: 2.1

// not for print
ifdef::pdf[]
== Starting ==
endif::pdf[]

[[start]]
First see that
the valve is shut. +
Then:

. Press START.
. Wait,
  as long as it takes.
+
----
port = 1

== no title ==
----
. Open the valve.

[WARNING]
======
Never run it dry.
======

Alarms
------

.What they mean
[cols="1,2", options="header"]
|===
|Code |Meaning
|E01
|Motor |E02|Low \\| no
pressure
|===

* one
** two
ACK:: silences
 the horn
....
  verbatim
....
////
unseen
////
"""


@pytest.mark.parametrize("name", ["a.adoc", "a.asciidoc", "a.txt"])
def test_asciidoc(name: str) -> None:
    text = MANUAL if name != "a.txt" else MANUAL.replace("Alarms\n------", "== Alarms")
    parsed = read(name, text)
    assert [(block.level, block.text) for block in parsed.blocks if block.kind == "heading"] == [
        (1, "Pump manual"),
        (2, "Starting"),
        (2, "Alarms"),
    ]
    assert shape(parsed)[1:] == [
        ("paragraph", "Ann Author <ann@example.org>"),
        ("heading", "Starting"),
        ("paragraph", "First see that the valve is shut.\nThen:"),
        ("item", "1. Press START."),
        ("item", "2. Wait, as long as it takes."),
        ("code", "port = 1\n\n== no title =="),
        ("item", "3. Open the valve."),
        ("paragraph", "Warning: Never run it dry."),
        ("heading", "Alarms"),
        ("paragraph", "What they mean"),
        ("table", "Code | Meaning\nE01 | Motor\nE02 | Low \\| no pressure"),
        ("item", "- one"),
        ("item", "- two"),
        ("item", "ACK: silences the horn"),
        ("code", "  verbatim"),
    ]


def test_asciidoc_reads_no_other_file() -> None:
    parsed = read("a.adoc", "Text.\n\ninclude::/etc/passwd[]\n\nimage::a.png[The pump, 200]\n")
    assert shape(parsed) == [("paragraph", "Text."), ("paragraph", "The pump")]
    assert parsed.lost == ("the text of a file that it includes",)


def test_equals_signs_alone_make_no_asciidoc() -> None:
    assert shape(read("a.txt", "<<<<<<< a\nx = 1\n=======\nx = 2\n>>>>>>> b\n"))[0][0] == "paragraph"


@pytest.mark.parametrize("part", ["= x" + " " * 50, "[", "toc::[", "1", "|", "a:: ", "|===\n", "image::["])
def test_what_is_never_closed_costs_little(part: str) -> None:
    began = time.monotonic()
    read("a.adoc", f"Words.\n\n|===\n{part * 50_000}\n|===\n{part * 50_000}x\n\nLast words.\n")
    assert time.monotonic() - began < 20
