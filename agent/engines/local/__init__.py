"""The engine on this machine: the voice of the telephone band, against the caller's own, judged by a trained model."""

from .model import verify_model
from .session import LocalEngine, LocalSession

__all__ = ["LocalEngine", "LocalSession", "verify_model"]
