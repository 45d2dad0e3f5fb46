"""The engine on this machine: prosody of the telephone band, against the caller's own baseline, in numpy."""

from .session import LocalEngine, LocalSession

__all__ = ["LocalEngine", "LocalSession"]
