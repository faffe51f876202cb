"""MDX -> blocks: what is JavaScript goes, what its tags enclose stays, and the rest is Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from appliance.ingest.parse import html, markdown, plain
from appliance.ingest.parse.blocks import Blocks

_NEXT = re.compile(
    r"""^[ \t>]*(?P<fence>`{3,}|~{3,})[^\n]*$ | (?P<ticks>`+)
    | ^(?P<script>import\s+(?:["'{*]|\w+\s*(?:,|from\b))
        | export\s+(?:const|let|var|function|default|async|class|[{*]))
    | ^(?P<note>[ \t]*:{3,}[ \t]*(?P<kind>\w*)[ \t]*(?P<title>[^\n]*))$
    | (?P<remark>\{/\*) | (?P<space>\{["']\s*["']\}) | (?P<tag><(?=(?:/[ ]?)?[A-Za-z>]))""",
    re.M | re.X,
)
_TAG = re.compile(r"<(/ ?)?([A-Za-z][\w.-]*)?(?=[\s/>])")
_WORDS = re.compile(r"<\w+(?:\s+[^\s={}\"'/>]+){2,}\s*>")
"""Of "a <b and c> d" nothing may be lost: a tag has no two words without a value."""
_ATTRIBUTE = re.compile(r"""\s([\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_QUOTED = re.compile(r""""[^"]*"|'[^']*'|`[^`]*`""")
_BLANK = re.compile(r"\n[ \t]*\n|\Z")
_BELOW = re.compile(r"[ \t]*\n(?:[ \t]*\n)*( *)")
_HTML = frozenset(
    "table thead tbody tfoot tr td th caption ul ol li dl dt dd h1 h2 h3 h4 h5 h6 br img pre code "
    "script style noscript iframe object svg template".split()
)
"""Elements that say what their text is, or that no browser shows; all others only wrap Markdown."""
_WRAPPING = frozenset("div p summary details section figure figcaption center".split())
_SHOWN = ("label", "title")
"""What of a component's attributes is shown as a rule: the name on a tab, or on a card."""
_LONGEST = 4_000
"""Characters in one tag, or in code within a line: who looks for an end looks no further."""


def read(data: bytes, out: Blocks) -> None:
    """Read MDX."""
    text = plain.decode(data, out).replace("\f", "\n")
    markdown.read_text(text, out, strip=lambda body: "".join(_Strip(body, out).pieces()))


class _Strip:
    """Goes through a text once, from one thing to leave as it is or to take out to the next."""

    def __init__(self, text: str, out: Blocks) -> None:
        self._text = text
        self._out = out
        self._hidden: list[str] = []
        self._margin = [_margin("")]
        self._unclosed = False

    def pieces(self) -> Iterator[str]:
        """Yield Markdown."""
        at = 0
        while (found := _NEXT.search(self._text, at)) is not None:
            yield self._set_out(at, found.start())
            said, at = self._taken(found)
            yield said
        yield self._set_out(at, len(self._text))

    def _taken(self, found: re.Match[str]) -> tuple[str, int]:
        """Return what stands in the place of what was found, and where that ends."""
        start, end = found.span()
        if found["fence"]:
            close = re.compile(rf"^[ \t>]*{found['fence']}[`~]*[ \t]*$", re.M).search(self._text, end)
            end = close.end() if close else len(self._text)
        elif found["ticks"]:
            end = self._after(found["ticks"], end) or end
        elif found["remark"]:
            close_at = self._after("*/}", end)
            return ("", close_at) if close_at else (found["remark"], end)
        elif found["script"]:
            return "", self._end_of_script(start)
        elif found["note"] is not None:
            return _note(found["kind"], found["title"].strip(" []")), end
        else:
            return self._tag(start) if found["tag"] else (" ", end)
        return self._set_out(start, end), end

    def _set_out(self, start: int, end: int) -> str:
        """Return a piece of the text without the spaces by which the component about it sets it in."""
        before = self._text[start - 1 : start]
        return self._margin[-1].sub("\n", before + self._text[start:end])[len(before) :]

    def _after(self, words: str, at: int) -> int:
        """Return where the next `words` end, 0 where none are near."""
        found = self._text.find(words, at, at + _LONGEST)
        return found + len(words) if found >= 0 else 0

    def _end_of_script(self, start: int) -> int:
        """Return where a statement ends: at a blank line where no bracket is open, or at the first."""
        if self._text.startswith("export", start):
            self._out.lose("what its JavaScript shows")
        first = depth = 0
        at = start
        while at < len(self._text):
            blank = _BLANK.search(self._text, at)
            end = blank.start() if blank else len(self._text)
            first = first or end
            code = _QUOTED.sub("", self._text[at:end])
            depth += sum(map(code.count, "({[")) - sum(map(code.count, ")}]"))
            if depth <= 0 or self._unclosed:
                return end
            at = blank.end() if blank else end
        self._unclosed = True  # not looked for again: many of them would cost their square
        return first

    def _tag(self, start: int) -> tuple[str, int]:
        opened = _TAG.match(self._text, start)
        end = _end_of_tag(self._text, start)
        if opened is None or end is None:
            # Not looked at again: a file of unclosed tags would cost its square.
            end = start + 1 if opened is None else min(start + _LONGEST, len(self._text))
            return self._text[start:end], end
        raw, name, closing = self._text[start:end], opened[2] or "", bool(opened[1])
        if _WORDS.fullmatch(raw):
            return "\\<", start + 1
        if self._keeps(raw, name, closing=closing):
            return (raw if "{" not in raw else _without_code(raw, name)), end
        if closing:
            self._margin = self._margin[:-1] or self._margin
        elif not raw.endswith("/>"):
            below = _BELOW.match(self._text, end)
            self._margin.append(_margin(below[1]) if below else self._margin[-1])
        ends_line = self._text[end : end + 1] in ("", "\n")
        shown = "" if closing or name[:1].islower() else _shown(raw)
        parts = bool(shown) or (closing and name in _WRAPPING)
        return shown + ("\n" if parts and ends_line else ""), end

    def _keeps(self, raw: str, name: str, *, closing: bool) -> bool:
        """Tell whether a tag is for the reader of Markdown: it knows HTML, and what is hidden in it."""
        if not name[:1].islower():
            return False
        if closing and self._hidden:
            if self._hidden[-1] == name:
                self._hidden.pop()
            return True
        if not closing and (self._hidden or html.hides(raw)):
            if not raw.endswith("/>") and name not in ("br", "img", "input", "hr"):
                self._hidden.append(name)
            return True
        return name in _HTML


def _margin(spaces: str) -> re.Pattern[str]:
    return re.compile(rf"\n {{0,{len(spaces)}}}")


def _note(kind: str, title: str) -> str:
    """Return what begins a box, ":::warning Title"; nothing for the colons that end one."""
    return f"{kind.capitalize()}: {title}" + ("\n" if title else "") if kind else ""


def _end_of_tag(text: str, start: int) -> int | None:
    """Return where a tag ends: at the first ">" in no quotes and no braces."""
    depth = 0
    quote = ""
    for at in range(start + 1, min(start + _LONGEST, len(text))):
        char = text[at]
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'`":
            quote = char
        elif char in "{}":
            depth += 1 if char == "{" else -1
        elif char == ">" and depth <= 0:
            return at + 1
    return None


def _without_code(raw: str, name: str) -> str:
    said = "".join(f' {key}="{one or two}"' for key, one, two in _ATTRIBUTE.findall(raw))
    return f"<{name}{said}>"


def _shown(raw: str) -> str:
    said = {key: one or two for key, one, two in _ATTRIBUTE.findall(raw)}
    return next((said[key] for key in _SHOWN if said.get(key)), "")
