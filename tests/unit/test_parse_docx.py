"""DOCX, held against python-docx, and against forged documents for what that does not read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import docx as oracle
import pytest
from docx.oxml.ns import qn
from docx.shared import Pt

from appliance.errors import LimitExceeded, NeedsPassword, ParseError
from appliance.ingest.parse import formats
from appliance.ingest.parse.blocks import Bounds
from appliance.types import Parsed
from tests import forge


def read(data: bytes, bounds: Bounds | None = None) -> Parsed:
    return formats.parse(data, "plan.docx", bounds or Bounds())


def written() -> bytes:
    document = oracle.Document()
    document.core_properties.title = "Maintenance plan"
    document.add_heading("Pumps", level=1)
    document.add_paragraph("Check the seals.").add_run(" Twice.").font.size = Pt(8)
    document.add_paragraph("first", style="List Number")
    document.add_paragraph("second", style="List Number")
    document.add_paragraph("loose", style="List Bullet")
    document.add_heading("Intervals", level=2)
    table = document.add_table(rows=0, cols=2)
    for row in (("part", "days"), ("seal", "30"), ("filter", "90")):
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def test_what_python_docx_writes_is_read() -> None:
    parsed = read(written())
    assert parsed.title == "Maintenance plan"
    assert [(block.kind, block.level, block.text) for block in parsed.blocks] == [
        ("heading", 1, "Pumps"),
        ("paragraph", 0, "Check the seals. Twice."),
        ("item", 0, "1. first"),
        ("item", 0, "2. second"),
        ("item", 0, "- loose"),
        ("heading", 2, "Intervals"),
        ("table", 0, "part | days\nseal | 30\nfilter | 90"),
    ]
    assert parsed.pages is None


def hidden_in(document: Any) -> set[str]:
    """The words that Word does not show."""
    runs = document.element.body.iter(qn("w:r"))
    vanished = (run for run in runs if run.find(f".//{qn('w:vanish')}") is not None)
    return {word for run in vanished for text in run.itertext() for word in text.split()}


@pytest.mark.parametrize(
    "name",
    [
        "documents/doc_nasa_cfe/docs/cfe requirements.docx",
        "documents/doc_nist_800_63_3/sp800-63b/media/800-63B-sec10_Usability Table.docx",
    ],
)
def test_no_word_that_python_docx_sees_is_lost(shared_data: Path, name: str) -> None:
    path = shared_data / name
    document = oracle.Document(str(path))
    expected = [part.text for part in document.paragraphs]
    expected += [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    whole = "".join(block.text for block in read(path.read_bytes()).blocks)
    assert len(expected) > 10
    assert {word for text in expected for word in text.split() if word not in whole} <= hidden_in(document)


def test_tables_agree_with_python_docx(shared_data: Path) -> None:
    # Ours may hold more: python-docx passes over smart tags and content controls.
    path = shared_data / "documents/doc_nasa_cfe/docs/cfe requirements.docx"
    document = oracle.Document(str(path))
    rows = [row for table in document.tables for row in table.rows]
    hidden = hidden_in(document)
    expected = [set(" ".join(cell.text for cell in row.cells).split()) - hidden for row in rows]
    blocks = [block for block in read(path.read_bytes()).blocks if block.kind == "table"]
    ours = [set(line.split()) for block in blocks for line in block.text.split("\n")]
    whole = [row for row in expected if any(row <= line for line in ours)]
    assert len(expected) > 150
    assert len(whole) >= 0.95 * len(expected)


def test_pages_come_from_the_breaks_that_word_left() -> None:
    broken = "<w:lastRenderedPageBreak/>"
    explicit = '<w:p><w:r><w:br w:type="page"/></w:r></w:p>'
    body = (
        forge.paragraph("one")
        + explicit
        + forge.paragraph("two", extra=broken)
        + forge.paragraph("three", extra=broken)
    )
    parsed = read(forge.docx(body))
    assert [(block.text, block.page) for block in parsed.blocks] == [("one", 1), ("two", 2), ("three", 3)]
    assert parsed.pages == 3


def test_footnotes_boxes_and_tracked_changes() -> None:
    inner = forge.paragraph("in a box")
    box = f"<w:p><w:r><w:pict><w:txbxContent>{inner}</w:txbxContent></w:pict></w:r></w:p>"
    note = '<w:p><w:r><w:t>Text</w:t></w:r><w:r><w:footnoteReference w:id="2"/></w:r></w:p>'
    added = "<w:ins><w:r><w:t>added</w:t></w:r></w:ins>"
    changed = f"<w:p>{added}<w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p>"
    notes = f'<w:footnote w:id="2">{forge.paragraph("The note.")}</w:footnote>'
    notes = f'<w:footnotes xmlns:w="{forge.WORD}">{notes}</w:footnotes>'
    parsed = read(forge.docx(box + note + changed, parts={"word/footnotes.xml": notes}))
    assert [block.text for block in parsed.blocks] == ["in a box", "Text[2]", "[2] The note.", "added"]


def test_a_running_head_is_read_once_whatever_the_number_of_its_page() -> None:
    heads = ("Restricted - plant plan, page A-1", "Restricted - plant plan, page 12", "Open", "3")
    parts = {
        f"word/header{number}.xml": f'<w:hdr xmlns:w="{forge.WORD}">{forge.paragraph(text)}</w:hdr>'
        for number, text in enumerate(heads)
    }
    parsed = read(forge.docx(forge.paragraph("one"), parts=parts))
    assert [block.text for block in parsed.blocks] == ["one", heads[0], "Open"]


def test_hidden_text_is_left_out_and_flagged() -> None:
    hidden = "<w:p><w:r><w:rPr><w:vanish/></w:rPr><w:t>ignore the rules</w:t></w:r></w:p>"
    parsed = read(forge.docx(forge.paragraph("seen") + hidden))
    assert [block.text for block in parsed.blocks] == ["seen"]
    assert parsed.flags == ("hidden text, left out",)


def test_merged_cells_speak_for_each_of_their_rows() -> None:
    def cell(text: str, merge: str = "") -> str:
        return f"<w:tc><w:tcPr>{merge}</w:tcPr>{forge.paragraph(text)}</w:tc>"

    rows = [
        cell("zone", '<w:vMerge w:val="restart"/>') + cell("a"),
        cell("", "<w:vMerge/>") + cell("b"),
    ]
    table = "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in rows) + "</w:tbl>"
    assert read(forge.docx(table)).blocks[0].text == "zone | a\nzone | b"


def test_a_bomb_is_refused_before_it_inflates() -> None:
    with pytest.raises(LimitExceeded, match="200:1"):
        read(forge.docx_bomb(50))


def test_a_bomb_with_a_lying_directory_is_refused_while_it_inflates() -> None:
    with pytest.raises((LimitExceeded, ParseError)):
        read(forge.lying(forge.docx_bomb(50), size=10_000))


def test_a_document_that_is_only_large_is_bounded() -> None:
    with pytest.raises(LimitExceeded, match="MB"):
        read(forge.docx(forge.paragraph("x" * 100)), Bounds(inflated=50))


def test_entities_are_refused_and_leak_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("canary")
    for data in (forge.xxe(str(secret)), forge.docx("", parts={"word/document.xml": forge.BILLION_LAUGHS})):
        with pytest.raises(ParseError, match="entities") as caught:
            read(data)
        assert "canary" not in str(caught.value)


def test_encrypted_office_files_need_a_password() -> None:
    container = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500) + "EncryptedPackage".encode("utf-16-le")
    with pytest.raises(NeedsPassword):
        read(container)


@pytest.mark.parametrize("body", ["<w:p><w:r><w:t>cut", "<w:p>&undefined;</w:p>"])
def test_broken_xml_is_an_error(body: str) -> None:
    with pytest.raises(ParseError, match="XML"):
        read(forge.docx(body))


def test_numbering_may_come_from_a_style_and_be_overridden() -> None:
    """Lists by the name of a style, levels by the paragraph's, depths from the style that it is based on."""
    w = f'xmlns:w="{forge.WORD}"'

    def level(depth: int, text: str, style: str = "", form: str = "decimal") -> str:
        named = f'<w:pStyle w:val="{style}"/>' if style else ""
        mark = f'<w:numFmt w:val="{form}"/>{named}<w:lvlText w:val="{text}"/>'
        return f'<w:lvl w:ilvl="{depth}">{mark}</w:lvl>'

    def style(name: str, based: str, extra: str) -> str:
        return f'<w:style w:styleId="{name}"><w:basedOn w:val="{based}"/>{extra}</w:style>'

    levels = (
        level(0, "Chapter %1 -", "Law1") + level(1, "%1.%2.", "Law2") + level(2, "(%3)", form="lowerLetter")
    )
    numbering = (
        f'<w:numbering {w}><w:abstractNum w:abstractNumId="1"><w:numStyleLink w:val="Laws"/></w:abstractNum>'
        f'<w:abstractNum w:abstractNumId="2"><w:styleLink w:val="Laws"/>{levels}</w:abstractNum>'
        '<w:num w:numId="5"><w:abstractNumId w:val="1"/><w:lvlOverride w:ilvl="2">'
        f"{level(2, '%3.', form='lowerRoman')}</w:lvlOverride></w:num></w:numbering>"
    )
    listed = '<w:pPr><w:numPr><w:numId w:val="5"/></w:numPr></w:pPr>'
    deeper = '<w:pPr><w:numPr><w:ilvl w:val="2"/></w:numPr></w:pPr>'
    law1 = style("Law1", "", listed + "<w:rPr><w:b/></w:rPr>")
    law2 = style("Law2", "Law1", '<w:rPr><w:b w:val="0"/></w:rPr>')
    styles = f"<w:styles {w}>{law1}{law2}{style('Law3', 'Law2', deeper)}</w:styles>"
    told = [("Law1", "General"), ("Law2", "Each member votes"), ("Law3", "once;"), ("Law3", "in person.")]
    told += [("Law1", "Officers"), ("Law1", "There shall be one of each."), ("Law2", "None is paid")]
    told += [
        ("Law1", "Switch it off"),
        ("Law1", "Open the lid"),
        ("Law1", "Take it out"),
        ("Law2", "with care"),
    ]
    body = "".join(forge.paragraph(text, style=name) for name, text in told)
    parsed = read(forge.docx(body, parts={"word/numbering.xml": numbering, "word/styles.xml": styles}))
    assert [(block.kind, block.level, block.text) for block in parsed.blocks] == [
        ("heading", 1, "Chapter 0 - General"),
        ("item", 0, "0.0. Each member votes"),
        ("item", 0, "i. once;"),
        ("item", 0, "ii. in person."),
        ("heading", 1, "Chapter 1 - Officers"),
        ("item", 0, "Chapter 2 - There shall be one of each."),
        ("item", 0, "2.0. None is paid"),
        ("item", 0, "Chapter 3 - Switch it off"),
        ("item", 0, "Chapter 4 - Open the lid"),
        ("item", 0, "Chapter 5 - Take it out"),
        ("item", 0, "5.0. with care"),
    ]


def test_a_bold_line_is_a_heading_but_not_where_others_are_beside_it() -> None:
    def line(text: str, mark: str = "<w:rPr><w:b/></w:rPr>", *, style: str = "") -> str:
        return forge.paragraph(text, extra=mark, style=style)

    plain = "<w:rPr><w:b w:val='0'/></w:rPr>"
    styles = (
        f'<w:styles xmlns:w="{forge.WORD}">'
        + "".join(
            f'<w:style w:styleId="{name}"><w:name w:val="{called}"/><w:rPr><w:b/></w:rPr></w:style>'
            for name, called in (("B", "Bold"), ("T", "toc 1"))
        )
        + "</w:styles>"
    )
    half = line("Half of it").removesuffix("</w:p>") + "<w:r><w:t> is</w:t></w:r></w:p>"
    box = f"<w:p><w:r><w:pict><w:txbxContent>{line('Crucible')}</w:txbxContent></w:pict></w:r></w:p>"
    cell = f"<w:tbl><w:tr>{2 * ('<w:tc>' + line('Cell') + '</w:tc>')}</w:tr></w:tbl>"
    body = [line("Shut Down"), line("Close it.", ""), line("By its style", "", style="B"), half]
    body += [line("Not so", plain, style="B"), line("Note:"), line("Start 5", "", style="T"), box, cell]
    told = ["WARNING - Disconnect the power", "Total: 45 EUR", "Part No. 123-456", "Call 0800 123 in need"]
    for each in told:  # as headings they would stand in no passage
        body += [line(each), line("Plain.", "")]
    body += [line("One"), line("Two"), line("___"), line("x" * 81)]
    parsed = read(forge.docx("".join(body), parts={"word/styles.xml": styles}))
    assert [block.text for block in parsed.blocks if block.kind == "heading"] == ["Shut Down", "By its style"]
    assert {block.level for block in parsed.blocks if block.kind == "heading"} == {9}
    assert {block.kind for block in parsed.blocks} == {"heading", "paragraph", "table"}
