"""What is served, written in torch: from the arrays a recogniser holds to logits and the features beneath them.

The same modules are exported to ONNX and are run by torch where there is no ONNX file, so both read alike.

Shapes:  B inputs   M mel bands   T frames of 10 ms   F features of the network's last layer
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from emotion import checkpoint
from emotion.features import N_MELS
from emotion.networks.compact_face import SIDE, CompactFace
from emotion.networks.compact_voice import CompactVoice, VoiceEnsemble


class FaceGraph(nn.Module):
    """Grey faces to the mean over each and its mirror image."""

    inputs = ("faces",)

    def __init__(self) -> None:
        super().__init__()
        self.network = CompactFace()

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """faces: (B, 48, 48) uint8 -> logits (B, 7), features (B, F)."""
        scaled = faces.float().div(255).unsqueeze(1)
        features = (self.network.embed(scaled) + self.network.embed(scaled.flip(3))) / 2
        return self.network.head(features), features  # the head is linear: this is the mean of both logits

    @staticmethod
    def example(rng: np.random.Generator, count: int = 2) -> tuple[np.ndarray, ...]:
        return (rng.integers(0, 256, (count, SIDE, SIDE)).astype(np.uint8),)


class VoiceGraph(nn.Module):
    """Log-mel spectra to logits."""

    inputs = ("log_mel_db",)

    def __init__(self, members: int = 1) -> None:
        super().__init__()
        self.network = VoiceEnsemble(CompactVoice() for _ in range(members))

    def forward(self, log_mel_db: Tensor) -> tuple[Tensor, Tensor]:
        """log_mel_db: (B, M, T) -> logits (B, 7), features (B, F)."""
        features = self.network.embed(log_mel_db)
        return self.network.decide(features), features

    @staticmethod
    def example(rng: np.random.Generator, count: int = 2, frames: int = 150) -> tuple[np.ndarray, ...]:
        return (rng.normal(-40, 15, (count, N_MELS, frames)).astype(np.float32),)


GRAPHS: dict[str, type[FaceGraph] | type[VoiceGraph]] = {"compact_face": FaceGraph, "compact_voice": VoiceGraph}


class TorchNetwork:
    """A graph run by torch, called as `emotion.serving.runtime.OnnxNetwork` is."""

    engine = "torch"

    def __init__(self, graph: nn.Module) -> None:
        self.graph = graph.eval()

    @torch.inference_mode()
    def __call__(self, *inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(logits, features), float32, of the graph's inputs."""
        logits, features = self.graph(*(torch.from_numpy(np.ascontiguousarray(array)) for array in inputs))
        return logits.numpy(), features.numpy()


def of(network: CompactFace | VoiceEnsemble) -> TorchNetwork:
    """A network in training as it will be served."""
    graph: FaceGraph | VoiceGraph = FaceGraph() if isinstance(network, CompactFace) else VoiceGraph()
    graph.network = network
    return TorchNetwork(graph)


def load(path: str | os.PathLike) -> tuple[FaceGraph | VoiceGraph, dict[str, Any]]:
    """The graph of the checkpoint at `path`, and its card. Raises `checkpoint.NoModel`, `checkpoint.BadCheckpoint`."""
    weights, card = checkpoint.load(path)
    if card.get("network") not in GRAPHS:
        raise checkpoint.BadCheckpoint(f"{path} holds {card.get('network')}, which is not served")
    graph = FaceGraph() if card["network"] == "compact_face" else VoiceGraph(int(card.get("members", 1)))
    try:
        graph.network.load_state_dict(weights)
    except RuntimeError as error:
        raise checkpoint.BadCheckpoint(f"{path} does not fit this version's {card['network']}") from error
    graph.eval()
    return graph, card
