"""Device trees, read back."""

from __future__ import annotations

import shutil
import struct
import subprocess

import pytest

from emulator.fdt import Tree, flattened

TREE: Tree = {
    "#address-cells": 2,
    "compatible": ["a", "bc"],
    "child@1": {"reg": [0, 0x80000000, 1 << 40], "empty": True, "label": "x", "inner": {"compatible": "a"}},
    "after": 7,
}


def unflattened(blob: bytes) -> dict[str, object]:
    """The tree of a blob, with properties as bytes."""
    magic, total, structure, strings, _, version, compatible, _, _, _ = struct.unpack(">10I", blob[:40])
    assert (magic, total, version, compatible) == (0xD00DFEED, len(blob), 17, 16)
    at = structure
    stack: list[dict[str, object]] = [{}]
    while True:
        (token,) = struct.unpack(">I", blob[at : at + 4])
        at += 4
        match token:
            case 1:
                end = blob.index(b"\0", at)
                node: dict[str, object] = {}
                stack[-1][blob[at:end].decode()] = node
                stack.append(node)
                at = end + 4 - end % 4
            case 2:
                stack.pop()
            case 3:
                size, name = struct.unpack(">II", blob[at : at + 8])
                key = blob[strings + name : blob.index(b"\0", strings + name)].decode()
                stack[-1][key] = blob[at + 8 : at + 8 + size]
                at += 8 + size + -size % 4
            case _:
                assert token == 9
                (root,) = stack
                tree = root[""]
                assert isinstance(tree, dict)
                return tree


def test_round_trip() -> None:
    assert unflattened(flattened(TREE)) == {
        "#address-cells": b"\0\0\0\2",
        "compatible": b"a\0bc\0",
        "child@1": {
            "reg": b"\0\0\0\0\x80\0\0\0" + (1 << 40).to_bytes(8, "big"),
            "empty": b"",
            "label": b"x\0",
            "inner": {"compatible": b"a\0"},
        },
        "after": b"\0\0\0\7",
    }


@pytest.mark.skipif(shutil.which("dtc") is None, reason="dtc is not installed")
def test_dtc_reads_it() -> None:
    done = subprocess.run(["dtc", "-I", "dtb", "-O", "dts"], input=flattened(TREE), capture_output=True, check=True)
    assert b"child@1" in done.stdout
