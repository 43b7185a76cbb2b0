"""The served voice network: small residual networks over log-mel spectra, the whole model in one file.

Shapes:  B recordings in the batch   M mel bands   T frames of 10 ms   C channels   T' = T / 16   F features
         N networks of an ensemble

Residual blocks with squeeze and excitation are those of `compact_face`; attentive statistics pooling:
Okabe et al., Interspeech 2018.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from emotion.estimate import EMOTIONS
from emotion.features import N_MELS
from emotion.networks.compact_face import Block

WIDTHS = (48, 96, 160)
FEATURES = 2 * WIDTHS[-1]
FLOOR_DB = -70.0  # speech is levelled to -20 dB; below this lies only the recording equipment


def standardise(log_mel_db: Tensor, mean_db: Tensor, deviation_db: Tensor) -> Tensor:
    """Two views of a recording: relative to what is usual, and relative to itself; (B, 2, M, T).

    log_mel_db: (B, M, T) in dB.  mean_db, deviation_db: (M,), what is usual in each band for everybody. The second
    view is the mean-variance normalisation of each band over the recording, which no microphone or room can shift.
    """
    heard = log_mel_db.clamp(min=FLOOR_DB)
    usual = (heard - mean_db[..., None]) / deviation_db[..., None]
    own = (heard - heard.mean(2, keepdim=True)) / heard.std(2, keepdim=True, correction=0).clamp(min=1.0)
    return torch.stack([usual, own], dim=1)


class AttentivePool(nn.Module):
    """Mean and standard deviation over time, weighted by what each moment holds."""

    def __init__(self, width: int, hidden: int = 64) -> None:
        super().__init__()
        self.attend = nn.Sequential(nn.Conv1d(width, hidden, 1), nn.Tanh(), nn.Conv1d(hidden, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, T') -> (B, 2C)."""
        weights = self.attend(x).softmax(dim=2)
        mean = (weights * x).sum(2)
        variance = (weights * x.square()).sum(2) - mean.square()
        return torch.cat([mean, variance.clamp(min=1e-4).sqrt()], dim=1)


class CompactVoice(nn.Module):
    """Log-mel spectra of any length from 160 ms to seven logits.

    `embed` gives features whose mean over everybody is 0, `decide` their logits.
    """

    population_mean_db: Tensor  # (M,), what is usual in each band
    population_deviation_db: Tensor  # (M,)

    def __init__(
        self, classes: int = len(EMOTIONS), widths: tuple[int, ...] = WIDTHS, stem: int = 24, dropout: float = 0.4
    ) -> None:
        super().__init__()
        self.register_buffer("population_mean_db", torch.zeros(N_MELS))
        self.register_buffer("population_deviation_db", torch.ones(N_MELS))
        self.stem = nn.Sequential(
            nn.Conv2d(2, stem, 5, stride=(1, 2), padding=2, bias=False), nn.BatchNorm2d(stem), nn.ReLU()
        )
        widths_in = (stem, *widths[:-1])
        self.stages = nn.Sequential(*[Block(a, b, stride=2) for a, b in zip(widths_in, widths, strict=True)])
        bands = -(-N_MELS // 2 ** len(widths))
        # One weight per channel and band: averaging over bands would forget where in the spectrum something was.
        self.over_bands = nn.Conv2d(widths[-1], widths[-1], (bands, 1), groups=widths[-1])
        self.pool = AttentivePool(widths[-1])
        self.centre = nn.BatchNorm1d(2 * widths[-1], affine=False)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * widths[-1], classes)

    def embed(self, log_mel_db: Tensor) -> Tensor:
        """log_mel_db: (B, M, T) in dB -> (B, F), F = 320."""
        return self.features(standardise(log_mel_db, self.population_mean_db, self.population_deviation_db))

    def features(self, x: Tensor) -> Tensor:
        """x: (B, 2, M, T) from `standardise` -> (B, F)."""
        x = self.stages(self.stem(x))  # (B, C, M / 8, T')
        return self.centre(self.pool(self.over_bands(x).squeeze(2).float()))

    def decide(self, features: Tensor) -> Tensor:
        """Features (B, F) to logits (B, 7) in the order of `EMOTIONS`."""
        return self.head(self.dropout(features))

    @property
    def everybody(self) -> Tensor:
        """The logits (7,) of features 0, everybody's mean: what is usual for a voice is measured from here."""
        return self.head.bias

    def forward(self, log_mel_db: Tensor) -> Tensor:
        """log_mel_db: (B, M, T) in dB -> logits (B, 7), read against everybody."""
        return self.decide(self.embed(log_mel_db))


class VoiceEnsemble(nn.Module):
    """Networks that learned the same from different random starts; their logits are averaged.

    The mean errs less than its members (Lakshminarayanan et al., NeurIPS 2017), and is called as one of them.
    """

    def __init__(self, members: Iterable[CompactVoice]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def embed(self, log_mel_db: Tensor) -> Tensor:
        """log_mel_db: (B, M, T) in dB -> (B, N·F), the features of one member after the other."""
        return torch.cat([member.embed(log_mel_db) for member in self._networks], dim=1)

    def decide(self, features: Tensor) -> Tensor:
        """Features (B, N·F) to logits (B, 7)."""
        parts = features.chunk(len(self.members), dim=1)
        said = [member.decide(part) for member, part in zip(self._networks, parts, strict=True)]
        return torch.stack(said).mean(0)

    @property
    def everybody(self) -> Tensor:
        """The logits (7,) of features 0."""
        return torch.stack([member.everybody for member in self._networks]).mean(0)

    def forward(self, log_mel_db: Tensor) -> Tensor:
        """log_mel_db: (B, M, T) in dB -> logits (B, 7), read against everybody."""
        return self.decide(self.embed(log_mel_db))

    @property
    def _networks(self) -> list[CompactVoice]:
        return list(self.members)  # type: ignore[arg-type]  # what a ModuleList holds, nn.Module does not say
