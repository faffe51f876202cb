"""For each format: whole files to begin with, and the tokens that its parser treats as special."""

# ruff: noqa: E501 - tables of bytes
from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from tests import forge

CASES = Path(__file__).parent / "cases"
KEYS = Path(__file__).parents[1] / "vectors" / "keys"
CARDS = Path(__file__).parents[2] / "models"


@dataclass(frozen=True)
class Target:
    """What is fuzzed: `name` of the file as the parser sees it, its seeds and tokens."""

    name: str
    seeds: tuple[bytes, ...]
    tokens: tuple[bytes, ...] = ()


def documents() -> dict[str, Target]:
    """Return the document formats; kept cases are seeds too."""
    return {
        kind: Target(f"fuzzed.{kind}", (*seeds, *kept(kind)), tuple(tokens))
        for kind, (seeds, tokens) in _DOCUMENTS.items()
    }


def kept(kind: str) -> tuple[bytes, ...]:
    """Return the cases of a format that were kept because they once failed or reach far."""
    return tuple(path.read_bytes() for path in sorted(CASES.glob(f"*.{kind}")))


def headers() -> dict[str, Target]:
    """Return what is parsed before a secret or an engine comes in: key file, card, model headers."""
    cards = tuple(path.read_bytes() for path in sorted(CARDS.glob("*.toml")))
    return {
        "keyfile": Target("keys", _key_files(), (b"APLKEYS\n",)),
        "card": Target(
            "card.toml", (*cards, *kept("toml")), (b"[[files]]\n", b'"""', b"= 99999999999999", b"\\u0000")
        ),
        "gguf": Target("model.gguf", (_gguf(), *kept("gguf")), (b"general.alignment", struct.pack("<I", 9))),
        "onnx": Target(
            "model.onnx", (_onnx(), *kept("onnx")), (b"\x0a\xff\xff\xff\xff\x0f", b"\x3a\x02", b"\x2a\x00")
        ),
    }


def _key_files() -> tuple[bytes, ...]:
    vectors = (path.read_bytes() for path in sorted(KEYS.glob("*.vector")))
    return tuple(
        data for head, _, data in (each.partition(b"\n\n") for each in vectors) if b"success" in head
    )


def _string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def _gguf() -> bytes:
    pairs = [_string(b"general.architecture") + struct.pack("<I", 8) + _string(b"llama"),
             _string(b"general.alignment") + struct.pack("<II", 4, 32),
             _string(b"tokens") + struct.pack("<IIQ", 9, 8, 3) + _string(b"a") + _string(b"bc") + _string(b""),
             _string(b"scores") + struct.pack("<IIQ", 9, 6, 2) + bytes(8)]  # fmt: skip
    tensors = [
        _string(b"a") + struct.pack("<IQQIQ", 2, 32, 2, 2, 0),
        _string(b"b") + struct.pack("<IQIQ", 1, 4, 0, 64),
    ]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pairs) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + bytes(128)


def _field(number: int, body: bytes) -> bytes:
    return bytes([number << 3 | 2, len(body)]) + body


def _onnx() -> bytes:
    """A model of one node and one tensor, written by hand: onnx.proto3's ModelProto."""
    tensor = b"\x08\x02\x10\x01" + _field(8, b"w") + _field(9, bytes(8))
    node = _field(1, b"x") + _field(1, b"w") + _field(2, b"y") + _field(4, b"Add")
    graph = _field(1, node) + _field(2, b"g") + _field(5, tensor)
    return b"\x08\x08" + _field(7, graph) + _field(8, b"\x0a\x00\x10\x0d")


_LINES = [
    "Pump manual",
    "The shut-off head is 42 m at 2900 rpm.",
    "1. Close the valve.",
    "\u2022 item",
    "a  b  c",
]
_PDF = forge.pdf([[*_LINES], [(72, 700, 18, "Chapter 1"), (72, 680, 10, "text-"), (72, 668, 10, "ual"), (300, 668, 10, "x")],
                  ["Table", (72, 600, 10, "A"), (150, 600, 10, "B"), (72, 588, 10, "1"), (150, 588, 10, "2")]], title="Manual")  # fmt: skip
_NUMBERING = (
    f'<w:numbering xmlns:w="{forge.WORD}"><w:abstractNum w:abstractNumId="0"><w:lvl w:ilvl="0"><w:start w:val="1"/>'
    '<w:numFmt w:val="lowerRoman"/><w:lvlText w:val="%1."/></w:lvl></w:abstractNum>'
    '<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num></w:numbering>'
)
_STYLES = (
    f'<w:styles xmlns:w="{forge.WORD}"><w:style w:type="paragraph" w:styleId="H1"><w:name w:val="heading 1"/>'
    '<w:basedOn w:val="N"/></w:style><w:style w:type="paragraph" w:styleId="N"><w:name w:val="Normal"/>'
    '<w:rPr><w:sz w:val="22"/><w:color w:val="000000"/></w:rPr></w:style></w:styles>'
)
_BODY = (
    forge.paragraph("Title", style="H1")
    + forge.paragraph("one", extra='<w:rPr><w:color w:val="FFFFFF"/><w:sz w:val="2"/></w:rPr>')
    + '<w:p><w:pPr><w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr></w:pPr><w:r><w:t>item</w:t></w:r></w:p>'
    '<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="2"/></w:tcPr><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc></w:tr>'
    "<w:tr><w:tc><w:tcPr><w:vMerge/></w:tcPr><w:p/></w:tc><w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p></w:tc></w:tr></w:tbl>"
    '<w:p><w:r><w:br w:type="page"/><w:lastRenderedPageBreak/><w:footnoteReference w:id="2"/><w:t>x</w:t></w:r></w:p>'
)
_NOTES = f'<w:footnotes xmlns:w="{forge.WORD}"><w:footnote w:id="2">{forge.paragraph("note")}</w:footnote></w:footnotes>'
_DOCX = forge.docx(
    _BODY, parts={"word/numbering.xml": _NUMBERING, "word/styles.xml": _STYLES, "word/footnotes.xml": _NOTES}
)
_HTML = b"""<!DOCTYPE html><html><head><meta charset="utf-8"><title>T</title><style>.h{display:none}</style></head><body>
<h1>Head</h1><p>Text <b>bold</b> <span style="color:#fff">x</span></p><ul><li>a<li>b</ul><dl><dt>t<dd>d</dl>
<table><caption>c</caption><tr><th>A<th colspan=2>B<tr><td rowspan=3>1<td>2<td>3<table><tr><td>n</table></table>
<pre>code</pre><p hidden>no</p><!-- c --><svg><text>s</text></svg><template>t</template></body></html>"""
_MD = b"""---
title: "T"
---
# Head

Text *em* `code` [link](x) ![alt](y) <span style="opacity:0">z</span> &amp;

1. one
   - two

> quote

| a | b |
|---|:-:|
| 1 | 2 |

```py
x = 1
```

<div style="display:none">hidden</div>

**Bold line**
"""
_RST = b"""Title
=====

.. note:: Text with :ref:`x <y>` and |sub|_ and `a`_.

.. |sub| replace:: s

.. list-table:: T
   :header-rows: 1

   * - a
     - b
   * - 1
     - 2

+---+---+
| a | b |
+===+===+
| 1 | 2 |
+---+---+

:field: body
-o FILE  option

term
  definition [1]_

.. [1] foot
.. csv-table:: c
   :header: "x", "y"

   1, "2"
.. raw:: html

   <b>x</b>
.. code-block:: c

   int x;
::

   literal
"""
_CSV = b'id,name,"long, name"\n1,"a ""b""",3.5\n2,x;y,\n3,,"two\nlines"\n'
_TXT = ("1. Heading\n\nText that goes on for a line and then some, and is broken\nhere.  A-\nB.\n\n- item\n- two\n\nHEAD\n====\n"
        "a    b    c\n---  ---  ---\n1    2    3\n\nIndex ..... 7\n\f--- PAGE 2 ---\n caf\xe9\n").encode()  # fmt: skip
_DOCUMENTS: dict[str, tuple[tuple[bytes, ...], tuple[bytes, ...]]] = {
    "pdf": ((_PDF,), (b"/Type /Page", b"/Kids [1 0 R]", b"<<", b">>", b"stream\n", b"endstream", b"obj", b"3 Tr ", b"BT ",
                      b"/Filter /FlateDecode", b"/Filter [/ASCIIHexDecode /LZWDecode]", b"/Encrypt 9 0 R", b"/Count -1",
                      b"/Prev 0", b"/Rotate 90", b"1 1 1 rg ", b"0 0 1 1 re W n ", b" Tf ", b"(", b")", b"[(a) -99999 (b)] TJ ",
                      b"q ", b"/F1 1e9 Tf ", b"/MediaBox [0 0 0 0]", b"/ToUnicode 4 0 R")),
    "docx": ((_DOCX,), (b"<w:p>", b"</w:p>", b"<w:tbl>", b"<w:tr>", b"<w:tc>", b"<w:sdt>", b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
                        b"&b;", b"&#0;", b"&#xD800;", b'w:val="-1"', b"<w:vanish/>", b"<w:ins>", b"<w:txbxContent>", b"<![CDATA[",
                        b'<w:gridSpan w:val="99999999"/>', b'<w:color w:val="FFFFFF"/>', b'<w:ilvl w:val="99"/>')),
    "html": ((_HTML,), (b"<table>", b"<tr><td>", b"</", b"<!--", b"<svg>", b"<math>", b"<template>", b"<div>" * 50, b"colspan=99999999",
                        b"rowspan=65535", b'style="font-size:1e-9px"', b"&#x1F600;", b"&#0;", b"<select>", b"<p hidden>", b"<style>",
                        b"<frameset>", b"<plaintext>", b"<br>", b"<dl><dt>", b'style="color:rgb(255,255,255)"')),
    "md": ((_MD,), (b"> ", b"- ", b"1. ", b"```", b"|", b"[", b"](", b"![", b"**", b"__", b"`", b"<div>", b"&#0;", b"\n\n", b"\t", b"---\n",
                    b"999999999. ", b"[a]: b\n", b"*_" * 20)),
    "rst": ((_RST,), (b".. ", b"::\n\n   ", b":x:`y`", b"|a|", b"`_", b"+---+\n", b"===\n", b".. include:: /etc/passwd\n",
                      b".. csv-table::\n   :file: /etc/passwd\n", b".. raw:: html\n   :url: x\n", b".. role:: a(b)\n", b"   ", b".. |a| replace:: |a|\n",
                      b".. class:: x\n", b".. table::\n   :widths: -1\n", b".. date::\n", b".. unicode:: 0xD800\n", b":name: x\n",
                      b".. list-table::\n   :header-rows: 99\n\n   * - a\n", b"[#]_ ", b".. [#a]", b".. contents::\n", b".. sectnum::\n")),
    "csv": ((_CSV, _CSV.replace(b",", b"\t")), (b'"', b'""', b",", b"\t", b"\r", b"\n", b";", b"|", b"\x00", b"=cmd()", b"," * 500)),
    "txt": ((_TXT, _TXT.decode().encode("utf-16"), _TXT.decode().encode("latin-1")), (b"\f", b"--- PAGE 1 ---\n", b"....", b"    ", b"|", b"====\n", b"\t", b"<html>",
             b"# a\n", b"\n## b\n", b"%PDF-", b"{\\rtf", b"II*\x00")),
}  # fmt: skip
