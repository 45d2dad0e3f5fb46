"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# Times are never asserted: a busy machine draws slowly, and is no failure.
settings.register_profile("callmood", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("callmood")
