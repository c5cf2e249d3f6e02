"""A program as it is loaded: pieces of memory, an entry, symbols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field


class Piece(Struct, frozen=True):
    """Units from an address on, and `blank` more that are 0."""

    address: int
    units: Sequence[int]
    blank: int = 0

    @property
    def end(self) -> int:
        """The address after the last unit."""
        return self.address + len(self.units) + self.blank


class Image(Struct, frozen=True):
    """A program: `entry` is the address (in units, physical) at which it begins; `starts` are places of the machine
    with the values that it wants them to have then."""

    pieces: tuple[Piece, ...]
    entry: int
    symbols: Mapping[str, int] = field(default_factory=dict)
    starts: Mapping[str, int] = field(default_factory=dict)

    @property
    def end(self) -> int:
        """The address after the last unit."""
        return max((piece.end for piece in self.pieces), default=self.entry)
