"""A recogniser of fixed cost, at the public seam CHECKIN_READER: fault tests are about the path, not the models."""

import hashlib
import time

import numpy as np

from emotion.estimate import Estimate

COST_S = 0.1


def read(modality: str, data: bytes) -> Estimate:
    """A distribution that depends on the content, so that a mixed-up check-in would show."""
    time.sleep(COST_S)
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(data).digest()[:8], "big"))
    return Estimate(rng.dirichlet(np.ones(7)), quality=1.0, model_version="fixed-cost")
