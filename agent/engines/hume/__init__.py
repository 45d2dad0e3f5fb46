"""Hume's expression measurement over the network: 415 expressions, every three seconds of speech at best."""

from .dialect import Hume

__all__ = ["Hume"]
