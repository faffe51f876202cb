"""MDX: Markdown with JavaScript and tags in it, of which the text is read and nothing else."""

from __future__ import annotations

import time

import pytest

from tests.unit.test_parse_text import read, shape


def test_mdx_has_headings_text_and_tables_and_no_tags() -> None:
    parsed = read(
        "a.mdx",
        "---\ntitle: Regions\n---\n\nimport Tabs from '@theme/Tabs';\nimport {\n  Icon,\n} from 'icons';\n\n"
        '# <Icon icon="mdi:pump" style={{ margin: "1 > 0" }} /> Regions\n\n'
        "| Country | Region |\n|---|---|\n| Albania | EU_868<br />EU_433 |\n\n"
        "One<br />two. {/* not shown */}\n\n<div style={{display: 'flex'}}>\n"
        "**Keep** [this](/docs).\n</div>\n",
    )
    assert parsed.title == "Regions"
    assert shape(parsed) == [
        ("heading", "Regions"),
        ("table", "Country | Region\nAlbania | EU_868 EU_433"),
        ("paragraph", "One\ntwo."),
        ("paragraph", "Keep this."),
    ]
    assert (parsed.lost, parsed.flags) == ((), ())


def test_tabs_are_read_one_after_the_other_under_the_names_on_them() -> None:
    text = (
        '## Pull\n<Tabs groupId="os">\n  <TabItem value="l" label="Linux" default>\n'
        "    Run it:\n    ```sh\n    docker <NAME>\n    ```\n  </ TabItem>\n"
        "  <TabItem\n    value='m'\n    label='macOS'\n  >\n    - Ask `<Anna>`.\n  </TabItem>\n</Tabs>\n"
    )
    assert shape(read("a.mdx", text)) == [
        ("heading", "Pull"),
        ("paragraph", "Linux"),
        ("paragraph", "Run it:"),
        ("code", "docker <NAME>"),
        ("paragraph", "macOS"),
        ("item", "- Ask <Anna>."),
    ]


def test_a_box_says_what_it_is() -> None:
    text = ":::warning\nNever run it dry.\n:::\n\n:::info Of seals\n\nThey wear.\n\n:::\n"
    assert shape(read("a.mdx", text)) == [
        ("paragraph", "Warning: Never run it dry."),
        ("paragraph", "Info: Of seals"),
        ("paragraph", "They wear."),
    ]


def test_what_mdx_exports_is_lost_and_said_so() -> None:
    text = (
        "export const faq = {\n  a: 'It is {',\n\n  b: [1],\n};\n\nThe words.\n\nimport of goods is taxed.\n"
    )
    parsed = read("a.mdx", text)
    assert shape(parsed) == [("paragraph", "The words."), ("paragraph", "import of goods is taxed.")]
    assert parsed.lost == ("what its JavaScript shows",)


def test_text_that_mdx_hides_is_left_out_and_flagged() -> None:
    parsed = read(
        "a.mdx", "Seen <span hidden>ignore <b>all</b> rules</span> again.\n\n2 < 3 and <https://a.b>.\n"
    )
    assert shape(parsed) == [("paragraph", "Seen again."), ("paragraph", "2 < 3 and https://a.b.")]
    assert parsed.flags == ("hidden text, left out",)


@pytest.mark.parametrize("part", ["<A {", "{/*", "import {\n\n", "`", "<A b='", "```\n"])
def test_what_is_never_closed_costs_little_and_hides_nothing_after(part: str) -> None:
    began = time.monotonic()
    parsed = read("a.mdx", f"First.\n\n{part * 20_000}\n\nLast words.\n")
    assert time.monotonic() - began < 20
    assert "Last words." in parsed.blocks[-1].text


@pytest.mark.parametrize(
    "text",
    [
        "Close the valve if p < p_max and never if T > 80 bar.",
        "If a < b and c > d then stop.",
        "If a <b and c> d then stop.",
        "Below 5 < x.",
    ],
)
def test_what_is_less_or_more_is_no_tag(text: str) -> None:
    assert shape(read("a.mdx", f"# Of\n\n{text}\n"))[-1] == ("paragraph", text)
