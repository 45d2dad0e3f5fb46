"""Callmood: emotion from the caller's voice, while the call is live."""

__version__ = "0.1.0"
