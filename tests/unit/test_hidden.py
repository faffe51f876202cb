"""What no reader can see is not stored, and the user is told; what anyone can see stays, without a word."""

# ruff: noqa: E501 - markup is quoted as it is
from __future__ import annotations

import pytest

from appliance.ingest.parse import formats, pdf_hidden
from appliance.ingest.parse.blocks import Bounds
from appliance.types import Parsed
from tests import forge
from tests.forge import show

IMAGE = b"q 612 0 0 792 0 0 cm BI /W 1 /H 1 /CS /G /BPC 8 ID \x80 EI Q"
BLACK_BAR = b"q 0 0 0 rg 50 490 500 40 re f Q"
WHITE_BAR = b"q 1 1 1 rg 50 490 500 40 re f Q"


def parsed(name: str, data: bytes | str) -> Parsed:
    return formats.parse(data.encode() if isinstance(data, str) else data, name, Bounds())


def text_of(found: Parsed) -> str:
    return "\n".join(block.text for block in found.blocks)


PDF_HIDDEN = {
    "white on paper": ([show("SECRET", before="1 1 1 rg")], "colour of its background"),
    "nearly white": ([show("SECRET", before="0.98 0.98 1 rg")], "colour of its background"),
    "white in CMYK": ([show("SECRET", before="0 0 0 0 k")], "colour of its background"),
    "black on a black bar": ([BLACK_BAR, show("SECRET", before="0 g")], "colour of its background"),
    "white on white on black": (
        [BLACK_BAR, WHITE_BAR, show("SECRET", before="1 g")],
        "colour of its background",
    ),
    "white in a form": ([b"q 1 0 0 1 100 200 cm /Form Do Q"], "colour of its background"),
    "no ink": ([show("SECRET", before="3 Tr")], "drawn invisibly, left out"),
    "only clipping": ([show("SECRET", before="7 Tr")], "drawn invisibly, left out"),
    "no opacity": ([show("SECRET", before="/Clear gs")], "drawn invisibly, left out"),
    "left of the page": ([show("SECRET", left=-400)], "off the page"),
    "above the page": ([show("SECRET", bottom=5000)], "off the page"),
    "outside its clip": ([show("SECRET", before="0 0 5 5 re W n")], "clipped away"),
    "one point tall": ([show("SECRET", size=1)], "too small"),
    "flat, but wide and slanted": ([b"BT /F1 12 Tf 1 0 1 0.001 72 500 Tm (SECRET) Tj ET"], "too small"),
}


@pytest.mark.parametrize("name", PDF_HIDDEN)
def test_hidden_in_a_pdf(name: str) -> None:
    operators, flag = PDF_HIDDEN[name]
    form = show("SECRET", before="1 g") if "form" in name else b""
    found = parsed("a.pdf", forge.pdf([["Plain text.", *operators, "More of it."]], form=form))
    assert "SECRET" not in text_of(found)
    assert "Plain text." in text_of(found)
    assert "More of it." in text_of(found)
    assert len(found.flags) == 1
    assert flag in found.flags[0]


def test_letters_without_ink_are_hidden_and_dashes_are_not() -> None:
    lines = [
        (72, 700, 12, "Plain text - and a dash."),
        (72, 650, 12, "XXX XX"),
        (72, 600, 12, "More XX of it."),
    ]
    found = parsed("a.pdf", forge.pdf([lines], drawn=True))
    assert text_of(found).split() == "Plain text - and a dash. More of it.".split()
    assert found.flags == (pdf_hidden.TINY,)


PDF_SEEN = {
    "white on a black bar": [BLACK_BAR, show("SEEN", before="1 g")],
    "white on a picture": [IMAGE, show("SEEN", before="1 g")],
    "white in a dark form": [b"/Form Do"],
    "grey": [show("SEEN", before="0.6 g")],
    "black on a white bar": [WHITE_BAR, show("SEEN", before="0 g")],
    "black above a thin black rule": [b"0 g 50 490 500 0.5 re f", show("SEEN", before="0 g")],
    "inside its clip": [show("SEEN", before="50 480 500 60 re W n")],
    "half off the page": [show("SEEN and seen", left=-20)],
    "white outline": [show("SEEN", before="1 g 0 G 2 Tr")],
    "four points": [show("SEEN", size=4)],
}


@pytest.mark.parametrize("name", PDF_SEEN)
def test_seen_in_a_pdf(name: str) -> None:
    form = b"0 0 0 rg 0 0 600 700 re f " + show("SEEN", before="1 g") if "form" in name else b""
    found = parsed("a.pdf", forge.pdf([["Plain text.", *PDF_SEEN[name]]], form=form))
    assert "SEEN" in text_of(found)
    assert found.flags == ()


def test_the_text_layer_of_a_scan_is_kept_and_flagged() -> None:
    found = parsed("a.pdf", forge.pdf([[IMAGE, show("Recognised words.", before="3 Tr")]]))
    assert "Recognised words." in text_of(found)
    assert found.flags == ("text drawn invisibly, as in the text layer of a scan",)


def test_text_without_ink_over_outlines_is_kept_and_flagged() -> None:
    outlines = b"0 g 72 498 m 90 498 l 90 512 l 80 505 l 76 512 l 72 512 l h f"
    found = parsed("a.pdf", forge.pdf([["Plain text.", outlines, show("Outlined", before="3 Tr")]]))
    assert "Outlined" in text_of(found)
    assert found.flags == ("text drawn invisibly, as in the text layer of a scan",)


def test_white_in_the_bend_of_a_white_arrow_is_kept_and_flagged() -> None:
    arrow = b"q 1 g 40 480 m 45 480 l 45 590 l 500 590 l 500 600 l 40 600 l h f Q"
    found = parsed("a.pdf", forge.pdf([["Plain text.", BLACK_BAR, arrow, show("SEEN", before="1 g")]]))
    assert "SEEN" in text_of(found)
    assert found.flags == ("text that may have the colour of its background",)


def test_white_beneath_a_box_and_its_outlines_is_kept_and_flagged() -> None:
    found = parsed("a.pdf", forge.pdf([["Plain text.", show("SEEN", before="1 g"), BLACK_BAR]]))
    assert "SEEN" in text_of(found)
    assert found.flags == ("text that may have the colour of its background",)


def test_a_word_hidden_inside_a_line_goes_alone() -> None:
    line = b"BT /F1 12 Tf 72 500 Td (before ) Tj 1 g (SECRET ) Tj 0 g (after) Tj ET"
    found = parsed("a.pdf", forge.pdf([["Plain text.", line]]))
    assert "before after" in text_of(found)
    assert "SECRET" not in text_of(found)


HTML_HIDDEN = [
    '<p style="display:none">SECRET</p>',
    '<p style="visibility: hidden">SECRET</p>',
    '<p style="opacity:0">SECRET</p>',
    '<p style="opacity: .01">SECRET</p>',
    '<p style="font-size:0">SECRET</p>',
    '<p style="font-size:1px">SECRET</p>',
    '<p style="color:#fff">SECRET</p>',
    '<p style="color:white !important">SECRET</p>',
    '<p style="color:rgb(254, 255, 255)">SECRET</p>',
    '<p style="color:transparent">SECRET</p>',
    '<p style="color:rgba(0,0,0,0)">SECRET</p>',
    '<div style="color:#ffffff"><p>SECRET</p></div>',
    '<div style="background:#123456"><p style="color:#123457">SECRET</p></div>',
    '<font color="white">SECRET</font>',
    '<table bgcolor="black"><tr><td><font color="#000">SECRET</font><td>x</table>',
    '<p style="position:absolute; left:-9999px">SECRET</p>',
    '<p style="text-indent:-5000px">SECRET</p>',
    '<p style="clip-path: inset(100%)">SECRET</p>',
    '<p style="height:0; overflow:hidden">SECRET</p>',
    '<p style="transform: scale(0)">SECRET</p>',
    "<p hidden>SECRET</p>",
    "<table><tr><td>x</td><td hidden>SECRET</td></tr><tr><td>y</td><td>z</td></tr></table>",
    "<pre>x <b hidden>SECRET</b></pre>",
    "<style>.q {display: none}</style><p class=q>SECRET</p>",
    "<style>@media screen { p.q {color: #fff} }</style><p class=q>SECRET</p>",
]  # fmt: skip


@pytest.mark.parametrize("body", HTML_HIDDEN)
def test_hidden_in_html(body: str) -> None:
    found = parsed("a.html", f"<html><body><p>Plain</p>{body}<p>text.</p></body></html>")
    assert "SECRET" not in text_of(found)
    assert text_of(found).startswith("Plain\n")
    assert text_of(found).endswith("text.")
    assert found.flags == ("hidden text, left out",)


@pytest.mark.parametrize(
    "body",
    [
        '<p style="color:#fff; background:#000">SEEN</p>',
        '<div style="background:navy url(x.png)"><p style="color:white">SEEN</p></div>',
        '<div style="background:#00f"><font color=white>SEEN</font></div>',
        '<p style="opacity:0.5">SEEN</p>',
        '<p style="font-size:10px; margin-left:-10px">SEEN</p>',
        '<p style="font-size:0.5em">SEEN</p>',
        '<p aria-hidden="true">SEEN</p>',
        "<style>@media print {.q {display: none}}</style><p class=q>SEEN</p>",
        "<style>.q:hover {display: none}</style><p class=q>SEEN</p>",
        '<details><summary>s</summary>SEEN</details>',
    ],
)  # fmt: skip
def test_seen_in_html(body: str) -> None:
    found = parsed("a.html", f"<html><body><p>Plain</p>{body}</body></html>")
    assert "SEEN" in text_of(found)
    assert found.flags == ()


def test_what_a_script_may_show_is_kept_and_flagged() -> None:
    body = "<style>.tab {display: none}</style><p class=tab>Second tab</p><p>x</p><script>1</script>"
    found = parsed("a.html", f"<html><body>{body}</body></html>")
    assert "Second tab" in text_of(found)
    assert found.flags == ("text that a style sheet hides until a script shows it",)


def test_comments_and_templates_are_no_text() -> None:
    found = parsed("a.html", "<html><body><!-- SECRET --><template>SECRET</template><p>x</p></body></html>")
    assert text_of(found) == "x"


def test_hidden_in_markdown_and_rst() -> None:
    found = parsed(
        "a.md",
        'Plain <span style="display:none">SEC <b>RET</b> SECRET</span> text.\n\n<p hidden>SECRET</p>\n',
    )
    assert text_of(found) == "Plain text."
    assert found.flags == ("hidden text, left out",)
    found = parsed("a.rst", "Plain.\n\n.. raw:: html\n\n   <p style='display:none'>SECRET</p>\n")
    assert text_of(found) == "Plain."
    assert found.flags == ("hidden text, left out",)


def run(text: str, marks: str) -> str:
    return f"<w:p><w:r><w:rPr>{marks}</w:rPr><w:t>{text}</w:t></w:r></w:p>"


STYLES = (
    f'<w:styles xmlns:w="{forge.WORD}"><w:style w:type="character" w:styleId="Ghost"><w:name w:val="Ghost"/><w:rPr><w:vanish/>'
    '</w:rPr></w:style><w:style w:type="paragraph" w:styleId="Pale"><w:name w:val="Pale"/><w:rPr><w:color w:val="FFFFFF"/></w:rPr>'
    '</w:style><w:style w:type="paragraph" w:styleId="Paler"><w:name w:val="Paler"/><w:basedOn w:val="Pale"/></w:style></w:styles>'
)
WHITE = '<w:color w:val="FFFFFF"/>'
SHADED = '<w:shd w:val="clear" w:fill="1F3864"/>'
DOCX_HIDDEN = {
    "vanish": (run("SECRET", "<w:vanish/>"), "hidden text"),
    "vanish true": (run("SECRET", '<w:vanish w:val="true"/>'), "hidden text"),
    "vanish by style": (run("SECRET", '<w:rStyle w:val="Ghost"/>'), "hidden text"),
    "white": (run("SECRET", '<w:color w:val="FFFFFF"/>'), "colour of its background"),
    "white by style": (forge.paragraph("SECRET", style="Paler"), "colour of its background"),
    "as its shading": (run("SECRET", f'<w:color w:val="1F3864"/>{SHADED}'), "colour of its background"),
    "one point": (run("SECRET", '<w:sz w:val="2"/>'), "too small"),
    "white in a plain table": (
        f"<w:tbl><w:tr><w:tc>{run('SECRET', WHITE)}</w:tc><w:tc><w:p><w:r><w:t>x</w:t></w:r></w:p></w:tc></w:tr></w:tbl>",
        "colour of its background",
    ),
}
DOCX_SEEN = {
    "vanish false": run("SEEN", '<w:vanish w:val="0"/>'),
    "white on its shading": run("SEEN", f'<w:color w:val="FFFFFF"/>{SHADED}'),
    "white on a highlight": run("SEEN", '<w:color w:val="FFFFFF"/><w:highlight w:val="blue"/>'),
    "white in a shaded paragraph": f'<w:p><w:pPr>{SHADED}</w:pPr><w:r><w:rPr><w:color w:val="FFFFFF"/></w:rPr><w:t>SEEN</w:t></w:r></w:p>',
    "white in a shaded cell": f"<w:tbl><w:tr><w:tc><w:tcPr>{SHADED}</w:tcPr>{run('SEEN', WHITE)}</w:tc></w:tr></w:tbl>",
    "white in a table with a style": f'<w:tbl><w:tblPr><w:tblStyle w:val="T"/></w:tblPr><w:tr><w:tc>{run("SEEN", WHITE)}</w:tc></w:tr></w:tbl>',
    "automatic colour": run("SEEN", '<w:color w:val="auto"/>'),
    "six points": run("SEEN", '<w:sz w:val="12"/>'),
}


@pytest.mark.parametrize("name", DOCX_HIDDEN)
def test_hidden_in_a_docx(name: str) -> None:
    body, flag = DOCX_HIDDEN[name]
    found = parsed("a.docx", forge.docx(forge.paragraph("Plain.") + body, parts={"word/styles.xml": STYLES}))
    assert "SECRET" not in text_of(found)
    assert "Plain." in text_of(found)
    assert len(found.flags) == 1
    assert flag in found.flags[0]


@pytest.mark.parametrize("name", DOCX_SEEN)
def test_seen_in_a_docx(name: str) -> None:
    found = parsed("a.docx", forge.docx(DOCX_SEEN[name], parts={"word/styles.xml": STYLES}))
    assert "SEEN" in text_of(found)
    assert found.flags == ()


def test_a_hidden_run_in_a_footnote() -> None:
    notes = f'<w:footnotes xmlns:w="{forge.WORD}"><w:footnote w:id="2">{run("SECRET", "<w:vanish/>")}{forge.paragraph("Seen.")}</w:footnote></w:footnotes>'
    body = '<w:p><w:r><w:t>Plain</w:t><w:footnoteReference w:id="2"/></w:r></w:p>'
    found = parsed("a.docx", forge.docx(body, parts={"word/footnotes.xml": notes}))
    assert text_of(found) == "Plain[2]\n[2] Seen."
    assert found.flags == ("hidden text, left out",)


def test_digits_that_are_no_numbers_are_no_crash() -> None:
    cell = '<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="\u00b2"/></w:tcPr><w:p><w:r><w:t>x</w:t></w:r></w:p></w:tc></w:tr></w:tbl>'
    assert text_of(parsed("a.docx", forge.docx(cell))) == "x"
