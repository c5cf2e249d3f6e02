"""Expected texts beside the tests; POPEK_GOLDEN=1 rewrites them."""

from __future__ import annotations

import os
from pathlib import Path


def assert_golden(path: Path, text: str) -> None:
    """The text is what the file holds."""
    if os.environ.get("POPEK_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path} is missing: POPEK_GOLDEN=1 writes it"
    assert text == path.read_text(encoding="utf-8")
