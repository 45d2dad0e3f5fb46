"""Attacks on a running Callmood: what strangers, broken peers and replayed requests can do to it.

`target` starts the server and looks at it from outside, `table` is what an attack is, and the other modules are the
attacks themselves, one function each. They speak to loopback only, and each is bounded in count and in time.
"""

from . import crowds, front_door, identity, injection, lines, orders, proof, vendors
from .table import ATTACKS, Attack

__all__ = ["ATTACKS", "Attack", "crowds", "front_door", "identity", "injection", "lines", "orders", "proof", "vendors"]
