"""Every Python block of README.md and docs/ runs.

The blocks of one page run in order, in one namespace, in an empty directory. Right after a block,
a block marked `text output` holds exactly what it printed. A block that must not run says why:
a fence marked `python no-run: needs a second machine`. A comment `<!-- NAME is PATH -->` puts a
copy of that directory of the repository into the empty one, under that name.
"""

import re
import shutil
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import attrs
import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^`\n]*)\n(?P<text>.*?)^(?P=indent)``` *$",
    re.MULTILINE | re.DOTALL,
)
SAMPLE = re.compile(r"^<!-- (?P<name>[\w-]+) is (?P<path>[\w/-]+) -->$", re.MULTILINE)


@attrs.frozen
class Block:
    """A fenced block: its info string, its text and the line where the text begins."""

    info: str
    text: str
    line: int


def blocks(markdown: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [
        Block(
            m["info"].strip(), textwrap.dedent(m["text"]), markdown.count("\n", 0, m.start("text"))
        )
        for m in FENCE.finditer(markdown)
    ]


def run_page(
    name: str, found: list[Block], capsys: pytest.CaptureFixture[str], module: ModuleType
) -> None:
    """Run the Python blocks of a page and compare what they print with the outputs shown."""
    printed = ""
    for block in found:
        where = f"{name}, line {block.line + 1}"
        if block.info == "python":
            # Empty lines first, so that a traceback shows the line of the page.
            exec(compile("\n" * block.line + block.text, name, "exec"), vars(module))
            printed = capsys.readouterr().out
        elif block.info == "text output":
            assert block.text == printed, where
        elif block.info.startswith(("py", "Py")):
            assert re.match(r"python no-run: \S", block.info), f"{where}: say why it does not run"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What a page shows is what happens."""
    markdown = page.read_text(encoding="utf-8")
    module = ModuleType(f"page_{page.stem.replace('-', '_')}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(tmp_path)
    for sample in SAMPLE.finditer(markdown):
        shutil.copytree(REPOSITORY / sample["path"], tmp_path / sample["name"])
    found = blocks(markdown)

    assert markdown.count("```") == 2 * len(found), "a fence is not closed, or not on a line alone"
    run_page(str(page), found, capsys, module)


def test_a_block_that_does_not_run_needs_a_reason() -> None:
    """Only `no-run` with a reason keeps a Python block from being run."""
    module, page = ModuleType("page"), "```python no-run\n1 / 0\n```\n"

    with pytest.raises(AssertionError, match="page, line 2: say why"):
        run_page("page", blocks(page), None, module)  # type: ignore[arg-type]


def test_a_wrong_output_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """An output that a page shows is compared with what its block prints."""
    page = "```python\nprint(1 + 1)\n```\n\n```text output\n3\n```\n"

    with pytest.raises(AssertionError, match="page, line 6"):
        run_page("page", blocks(page), capsys, ModuleType("page"))
