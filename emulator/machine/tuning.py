"""When a machine makes code, and of what."""

from __future__ import annotations

from msgspec import Struct


class Tuning(Struct, frozen=True):
    """What tells the tiers on generated code apart, and what a test may want otherwise."""

    hot: int = 0
    """Jumps from behind after which an address is hot; 0: none ever is, and all is interpreted."""
    share: float | None = 0.5
    """Of the time, that making regions may take; None: none are made."""
    lasting: float = 0.0
    """Part of the time so far that code must have been hot, before a region is made of it that was not kept: what comes
    late in a run and soon ends is not worth one."""
    eager: int = 100
    """Instructions that the driver decodes before it makes a decoder, if none was kept."""
    ahead: bool = False
    """Whether what most programs need is made with what the first program of all does (`variant.plain`)."""
    background: bool = False
    """Whether regions are made while the program goes on."""
