"""What the README shows is what the commands print, and its picture is what `popek check` draws."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from conftest import Popek
from golden import assert_golden

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
BLOCK = re.compile(r"```console\n\$ popek ([^\n]*)\n.*?```\n", re.DOTALL)
HEADER = re.compile(r"^popek .*\n")
PICTURE = ("ia32", ROOT / "docs/images/ia32.svg")


def test_console_blocks(popek: Popek) -> None:
    def shown(block: re.Match[str]) -> str:
        ran = popek(*shlex.split(block[1]))
        text = HEADER.sub("", ran.out) + ran.err
        assert "internal error" not in text
        return f"```console\n$ popek {block[1]}\n{text}```\n"

    text = README.read_text(encoding="utf-8")
    assert len(BLOCK.findall(text)) >= 5
    assert_golden(README, BLOCK.sub(shown, text))


@pytest.mark.slow
def test_picture(popek: Popek, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of the classic holes; all of them would not fit in a picture. Its header names no versions but these."""
    monkeypatch.setattr("analyzer.analysis.tool_version", lambda: "0.1.0")
    monkeypatch.setattr("analyzer.analysis.z3_version", lambda: "5.4")
    spec, path = PICTURE
    only = [word for family in ("sgdt", "smsw", "popf") for word in ("--only", family)]
    ran = popek("check", spec, "--scheme", "classic", *only, "-o", "svg:picture.svg")
    assert (ran.code, ran.err) == (1, "")
    assert_golden(path, (tmp_path / "picture.svg").read_text(encoding="utf-8"))


def test_links_lead_somewhere() -> None:
    for page in [README, ROOT / "ARCHITECTURE.md", *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            if not target.endswith(".svg"):
                assert (page.parent / target).exists(), f"{page}: {target}"
