"""What all tests go by: how fast the machine is that they run on fails none of them, nor where they were started."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

settings.register_profile("popek", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("popek")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell lets its background jobs ignore interrupts
    signal.signal(signal.SIGINT, signal.default_int_handler)
