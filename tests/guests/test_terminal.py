"""The host's keyboard."""

from __future__ import annotations

import io
import os
import pty
import termios

from emulator.terminal import Terminal


def test_what_was_typed_and_the_end() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader) as stream, Terminal(stream) as keyboard:
        assert keyboard(False) == b""
        os.write(writer, b"ab")
        assert keyboard(False) == b"ab"
        os.write(writer, b"c")
        assert keyboard(True) == b"c"
        os.close(writer)
        assert keyboard(True) == b""
        assert keyboard(True) == b""


def test_a_stream_without_a_file_types_nothing() -> None:
    with Terminal(io.StringIO("abc")) as keyboard:
        assert keyboard(True) == b""


def test_a_terminal_gives_keys_at_once_and_is_put_back() -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as stream:
        before = termios.tcgetattr(theirs)
        with Terminal(stream) as keyboard:
            os.write(ours, b"k")
            assert keyboard(True) == b"k"
            assert not termios.tcgetattr(theirs)[3] & (termios.ICANON | termios.ECHO)
        assert termios.tcgetattr(theirs) == before
    os.close(ours)
