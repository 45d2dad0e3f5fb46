"""Comparing what was offered with a secret, in constant time, whatever was offered."""

import hmac


def same(offered: str, secret: str) -> bool:
    """Whether they are equal. What is not valid Unicode is merely unequal."""
    return hmac.compare_digest(offered.encode("utf-8", "surrogatepass"), secret.encode("utf-8", "surrogatepass"))
