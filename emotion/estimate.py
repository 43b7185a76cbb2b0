"""What a recogniser, or the fusion, says of a check-in: a distribution, never a bare label."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

EMOTIONS = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")

# Valence and arousal of each emotion word in [-1, 1]: Russell & Mehrabian (1977),
# "Evidence for a three-factor theory of emotions", J. Res. Personality 11, table 1
# (angry, disgusted, fearful, happy, sad, surprised). Neutral is the origin.
VALENCE = np.array([-0.51, -0.60, -0.64, 0.81, 0.0, -0.63, 0.40])
AROUSAL = np.array([0.59, 0.35, 0.60, 0.51, 0.0, -0.27, 0.67])


@dataclass(frozen=True)
class Estimate:
    """The expressed emotion of one modality, or of all of them fused.

    probabilities: (7,) in the order of `EMOTIONS`, summing to 1.
    quality: [0, 1], how fit the input was for reading; 1 for a fused estimate.
    confidence: calibrated largest probability.  abstained: too unsure to show a label.
    without_baseline: (7,) as read against everybody's usual, where `probabilities` are read against this person's own.
    usual: what a personal baseline is averaged from, as `from_json` of the modality's baseline takes it.
    """

    probabilities: np.ndarray
    quality: float
    model_version: str
    abstained: bool = False
    details: dict = field(default_factory=dict)
    without_baseline: np.ndarray | None = None
    usual: dict | None = None

    def __post_init__(self) -> None:
        p = np.asarray(self.probabilities, dtype=float)
        if p.shape != (len(EMOTIONS),) or not np.isfinite(p).all() or abs(p.sum() - 1) > 1e-6 or (p < 0).any():
            raise ValueError("probabilities must be seven non-negative numbers that sum to 1")
        object.__setattr__(self, "probabilities", p)

    @property
    def confidence(self) -> float:
        return float(self.probabilities.max())

    @property
    def valence(self) -> float:
        """Expected valence in [-1, 1]: derived from the distribution, not measured."""
        return float(self.probabilities @ VALENCE)

    @property
    def arousal(self) -> float:
        """Expected arousal in [-1, 1]: derived from the distribution, not measured."""
        return float(self.probabilities @ AROUSAL)

    @property
    def emotion(self) -> str:
        """The most probable emotion; read it together with `confidence` and `abstained`."""
        return EMOTIONS[int(self.probabilities.argmax())]
