"""reStructuredText -> blocks, by docutils with everything off that reads files or passes text through raw.

Sphinx has hundreds of directives and roles that docutils does not know. An unknown directive is read as its
argument and its content, an unknown role as its text, so that none of it is lost. Sphinx hooks the same two
look-ups for its own.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

import docutils.core
import docutils.nodes as n
from docutils.parsers.rst import Directive, directives, roles
from docutils.parsers.rst.directives.tables import CSVTable

from appliance.ingest.parse import html, plain
from appliance.ingest.parse.blocks import BULLET, Blocks, one_line

_SETTINGS = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "report_level": 5,
    "halt_level": 5,
    "warning_stream": False,
    "_disable_config": True,
    "smart_quotes": False,
    "input_encoding": "unicode",
    "line_length_limit": 1_000_000,
    "syntax_highlight": "none",
    "doctitle_xform": False,
}
_LOST = "lost"
_TARGET = re.compile(r"\s*<[^<>]*>$")
# Directives that say how to show or index, not what.
_WORDLESS = frozenset(
    "index highlight tabularcolumns currentmodule module default-domain meta toctree".split()
)
_QUIET = (n.comment, n.system_message, n.substitution_definition, n.target, n.pending, n.docinfo, n.image)

_known_directive = directives.directive
_known_role = roles.role


class _AnyOption(dict[str, Any]):
    """Accepts every option of an unknown directive."""

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, name: str) -> Any:
        return directives.unchanged


class _Unknown(Directive):
    """Stands for every directive that docutils does not know."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec: ClassVar[Any] = _AnyOption()

    def run(self) -> list[n.Node]:
        """Return the argument as a paragraph, and the content parsed."""
        if self.name in _WORDLESS:
            return []
        found: list[n.Node] = []
        if self.arguments:
            nodes, _ = self.state.inline_text(self.arguments[0], self.lineno)
            found.append(n.paragraph(self.arguments[0], "", *nodes))
        holder = n.Element()
        self.state.nested_parse(self.content, self.content_offset, holder)
        return [*found, *holder.children]


def read(data: bytes, out: Blocks) -> None:
    """Read reStructuredText."""
    text = plain.decode(data, out).replace("\f", "\n")
    directives.directive = _directive  # type: ignore[assignment]
    roles.role = _role  # type: ignore[assignment]
    tree = docutils.core.publish_doctree(text, settings_overrides=_SETTINGS)
    for what in tree.attributes.get(_LOST, ()):
        out.lose(what)
    _Walk(out).blocks(tree, depth=0)


class _Elsewhere(_Unknown):
    """Stands for the directives whose text is in another file, which is not opened."""

    def run(self) -> list[n.Node]:
        """Note the loss."""
        _note(self, "the text of a file that it includes")
        return []


class _Csv(CSVTable):
    """The CSV table, without those that are in another file or on a network."""

    def run(self) -> list[Any]:
        """Return the table, or note the loss."""
        if "file" in self.options or "url" in self.options:
            _note(self, "the text of a file that it includes")
            return []
        return list(super().run())


def _note(directive: Directive, lost: str) -> None:
    directive.state.document.attributes.setdefault(_LOST, []).append(lost)


class _Raw(Directive):
    """Stands for `raw`, which docutils has off: HTML is read, what is meant for other writers is no text."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec: ClassVar[Any] = _AnyOption()

    def run(self) -> list[n.Node]:
        """Return the passage for our own HTML reader."""
        if "html" not in self.arguments[0].lower().split():
            return []
        text = "\n".join(self.content)
        return [n.raw("", text, format="html")]


_OWN: dict[str, type[Directive]] = {
    "raw": _Raw,
    "include": _Elsewhere,
    "literalinclude": _Elsewhere,
    "csv-table": _Csv,
}


def _directive(name: str, language: Any, document: Any) -> tuple[Any, list[Any]]:
    if name.lower() in _OWN:
        return _OWN[name.lower()], []
    found, messages = _known_directive(name, language, document)
    return (found, messages) if found else (_Unknown, [])


def _role(name: str, language: Any, lineno: int, reporter: Any) -> tuple[Any, list[Any]]:
    found, messages = _known_role(name, language, lineno, reporter)
    return (found, messages) if found else (_plain_role, [])


def _plain_role(_name: str, rawtext: str, text: str, *_: Any, **__: Any) -> tuple[list[n.Node], list[Any]]:
    shown = _TARGET.sub("", text) or text
    return [n.inline(rawtext, shown)], []


class _Walk:
    """Walks the document tree; docutils bounds its depth by indentation."""

    def __init__(self, out: Blocks) -> None:
        self._out = out

    def blocks(self, parent: n.Element, *, depth: int, marker: str = "", in_list: bool = False) -> None:
        for node in parent.children:
            self._block(node, depth=depth, marker=marker, in_list=in_list)
            marker = ""

    def _block(self, node: n.Node, *, depth: int, marker: str, in_list: bool) -> None:  # noqa: C901
        if isinstance(node, n.raw):
            html.read_fragment(node.astext(), self._out)
        elif isinstance(node, _QUIET):
            if isinstance(node, n.image) and node.get("alt"):
                self._out.add("paragraph", node["alt"])
        elif isinstance(node, n.section):
            self.blocks(node, depth=depth + 1)
        elif isinstance(node, (n.title, n.subtitle, n.rubric)):
            self._out.add("heading", one_line(node.astext()), level=max(1, depth))
        elif isinstance(node, (n.literal_block, n.doctest_block, n.math_block)):
            self._out.add("code", node.astext())
        elif isinstance(node, n.table):
            self._table(node)
        elif isinstance(node, (n.bullet_list, n.enumerated_list)):
            self._list(node, depth)
        elif isinstance(node, (n.definition_list_item, n.field, n.option_list_item)):
            self._pair(node, depth)
        elif isinstance(node, n.line_block):
            self._add_text(_lines(node), marker=marker, in_list=in_list)
        elif isinstance(node, (n.footnote, n.citation)):
            self._out.add("paragraph", "[" + one_line(node.astext()).replace(" ", "] ", 1))
        elif isinstance(node, n.Admonition):
            self._admonition(node, depth)
        elif isinstance(node, n.TextElement):
            self._add_text(_flow(node), marker=marker, in_list=in_list)
        elif isinstance(node, n.Element):
            self.blocks(node, depth=depth, marker=marker, in_list=in_list)

    def _add_text(self, text: str, *, marker: str, in_list: bool) -> None:
        if in_list:
            self._out.item(marker, text)
        else:
            self._out.add("paragraph", marker + text)

    def _list(self, node: n.Element, depth: int) -> None:
        number = int(node.get("start", 1))
        for item in node.children:
            marker = f"{number}. " if isinstance(node, n.enumerated_list) else BULLET
            if isinstance(item, n.Element):
                self.blocks(item, depth=depth, marker=marker, in_list=True)
            number += 1

    def _pair(self, node: n.Element, depth: int) -> None:
        """Put a term and the first paragraph of what is said of it together."""
        names = [one_line(child.astext()) for child in node.children[:-1]]
        body = node.children[-1]
        name = ": ".join(names)
        if (
            not isinstance(body, n.Element)
            or not body.children
            or not isinstance(body.children[0], n.paragraph)
        ):
            self._out.add("paragraph", name)
            if isinstance(body, n.Element):
                self.blocks(body, depth=depth)
            return
        self.blocks(body, depth=depth, marker=f"{name}: ", in_list=True)

    def _admonition(self, node: Any, depth: int) -> None:
        name = type(node).__name__
        self.blocks(node, depth=depth + 1, marker="" if name == "admonition" else f"{name.capitalize()}: ")

    def _table(self, table: n.table) -> None:
        rows, headers = [], 0
        for row in table.findall(n.row):
            rows.append([one_line(entry.astext()) for entry in row.children])
            headers += isinstance(row.parent, n.thead)
        for title in table.children:
            if isinstance(title, n.title):
                self._out.add("paragraph", one_line(title.astext()))
        self._out.table(rows, header_rows=headers)


def _lines(node: n.Element) -> str:
    return "\n".join(line.astext() for line in node.findall(n.line))


def _flow(node: n.Node) -> str:
    return one_line(node.astext())
