"""The running service of the contract tests, for the lessons that need sockets."""

from ..web.conftest import callmood, start

__all__ = ["callmood", "start"]
