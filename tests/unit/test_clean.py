"""What a document may not do to the terminal, one attack a test, and the laws of `clean`."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.clean import MAX_MARKS, REPLACEMENT, clean, clean_line

ATTACKS = {
    "set the clipboard (OSC 52)": ("a\x1b]52;c;SEVJTA==\x07b", "a\ufffdb"),
    "set the title": ("a\x1b]0;owned\x1b\\b", "a\ufffdb"),
    "a link (OSC 8)": ("\x1b]8;;http://x\x1b\\here\x1b]8;;\x1b\\", "\ufffdhere\ufffd"),
    "colour (CSI)": ("\x1b[31mred\x1b[0m", "\ufffdred\ufffd"),
    "clear the screen": ("\x1b[2J\x1b[H", "\ufffd"),
    "device control (DCS)": ("a\x1bP+q544e\x1b\\b", "a\ufffdb"),
    "application command (APC)": ("a\x1b_Gi=1\x1b\\b", "a\ufffdb"),
    "an OSC that never ends": ("a\x1b]0;owned", "a\ufffd0;owned"),
    "8-bit CSI": ("a\x9b31mb", "a\ufffdb"),
    "8-bit OSC": ("a\x9d0;owned\x9cb", "a\ufffdb"),
    "reset the terminal": ("a\x1bcb", "a\ufffdb"),
    "switch the character set": ("a\x1b(0b", "a\ufffdb"),
    "a lone escape": ("a\x1b", "a\ufffd"),
    "bell, backspace, delete": ("a\x07\x08\x7fb", "a\ufffdb"),
    "shift out": ("a\x0eb", "a\ufffdb"),
    "overprint with a carriage return": ("rm -rf\rls", "rm -rf\nls"),
    "right-to-left override": ("invoice\u202efdp.exe", "invoice\ufffdfdp.exe"),
    "bidirectional isolates": ("\u2066a\u2069", "\ufffda\ufffd"),
    "tag characters": ("hi\U000e0041\U000e0042", "hi\ufffd"),
    "zero width": ("pass\u200bword\ufeff\u200d", "password"),
    "soft hyphen": ("ex\u00adample", "example"),
    "variation selectors": ("a\ufe0f\ufe0f\U000e0100b", "ab"),
    "Hangul fillers": ("a\u3164\u115fb", "ab"),
    "private use": ("a\ue000b", "a\ufffdb"),
    "a symbol font's bullet": ("\uf0b7 item", "\u2022 item"),
    "half a file name's undecodable byte": ("a\udce9b", "a\ufffdb"),
    "marks on the frame to the left": ("\u0301\u0302a\n\u0301b", "a\nb"),
    "line and paragraph separators": ("a\u2028b\u2029c\x85d\x0ce", "a\nb\nc\nd\ne"),
    "tabs": ("a\tb", "a    b"),
    "no-break space": ("a\u00a0b", "a b"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str) -> None:
    hostile, shown = ATTACKS[name]
    assert clean(hostile) == shown


def test_a_flood_of_combining_marks_is_capped() -> None:
    assert clean("a" + "\u0301" * 500) == "a" + "\u0301" * MAX_MARKS


def test_an_ordinary_accent_stays() -> None:
    assert clean("e\u0301t\u00e9") == "e\u0301t\u00e9"


@pytest.mark.parametrize("text", ["\x9d" * 200_000, "\x1b]" * 100_000, "\x9b0" * 100_000, "a" * 10_000_000])
def test_time_is_linear(text: str) -> None:
    began = time.process_time()
    clean(text)
    assert time.process_time() - began < 2


def test_a_line_is_one_line() -> None:
    assert clean_line(" a\r\n  b\x1b[0m\tc ") == f"a b{REPLACEMENT} c"


text_with_traps = st.lists(
    st.one_of(
        st.text(st.characters()),
        st.sampled_from([hostile for hostile, _ in ATTACKS.values()]),
        st.text(st.characters(categories=("Mn", "Me", "Cf", "Cc", "Co"))),
    ),
    max_size=8,
).map("".join)


@given(text_with_traps)
def test_no_control_or_format_character_remains(text: str) -> None:
    left = {
        char
        for char in clean(text)
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    }
    assert left <= {"\n"}


@given(text_with_traps)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)
    assert clean_line(clean_line(text)) == clean_line(text)


@given(text_with_traps)
def test_what_is_shown_can_be_encoded(text: str) -> None:
    clean(text).encode()


@given(st.text(st.characters(categories=("L", "N", "P", "S"), include_characters=" \n", codec="utf-8")))
def test_ordinary_text_is_left_alone(text: str) -> None:
    ordinary = "".join(char for char in text if char not in "\u115f\u1160\u3164\uffa0\ufffd")
    assert clean(ordinary) == ordinary


def test_a_mark_has_a_letter_to_stand_on() -> None:
    assert clean_line("\t\u0591") == ""
    assert clean("a \u0301b\n\u0301c") == "a b\nc"
