"""Matrix products whose rows do not depend, to the last bit, on how many others are computed beside them."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SLAB: Final = 10


def times(left: Floats, right: Floats, slab: int = SLAB) -> Floats:
    """The product of (n, k) and (k, m).

    BLAS chooses its way of adding up by the shapes, and starts threads where they are large; so the left side always
    comes in slabs of one small shape.
    """
    count = len(left)
    slabs = -(-count // slab)
    if slabs * slab != count:
        left = np.concatenate((left, np.zeros((slabs * slab - count, left.shape[1]), dtype=np.float32)))
    product = np.matmul(left.reshape(slabs, slab, left.shape[1]), right)
    return np.asarray(product.reshape(slabs * slab, right.shape[1])[:count])
