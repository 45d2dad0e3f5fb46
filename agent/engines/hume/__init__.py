"""Hume's expression measurement over the network: 415 expressions, every three seconds of speech at best."""

from .engine import HumeEngine

__all__ = ["HumeEngine"]
