"""Do face and voice say the same?"""

from __future__ import annotations

import numpy as np


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> float:
    """Divergence of two distributions in bits, [0, 1] (Lin 1991)."""
    middle = (p + q) / 2

    def relative_entropy(a: np.ndarray) -> float:
        some = a > 0
        return float((a[some] * np.log2(a[some] / middle[some])).sum())

    return max(0.0, (relative_entropy(p) + relative_entropy(q)) / 2)
