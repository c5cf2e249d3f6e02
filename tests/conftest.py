"""What all tests go by: how fast the machine is that they run on fails none of them."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("popek", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("popek")
