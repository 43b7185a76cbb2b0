"""Dynamic graph convolution of the generative-AI system: the whole model in one file.

Song et al., "EEG emotion recognition using dynamical graph convolutional neural networks", IEEE TAC 2020, and
the 1-hop and 2-hop form of the source: the graph between feature channels is learned with the weights. Where the
source reads ResNet-50 face features, whose weights are not at hand, action units of the face are the nodes.

Shapes:  B clips in the batch   N nodes (feature channels)   F features of a node   H width
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from emotion.estimate import EMOTIONS


class GraphLayer(nn.Module):
    """A node takes from itself, from its neighbours and from their neighbours: X W₀ + A X W₁ + A² X W₂."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.own = nn.Linear(width_in, width_out)
        self.one_hop = nn.Linear(width_in, width_out, bias=False)
        self.two_hop = nn.Linear(width_in, width_out, bias=False)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """x: (B, N, F).  adjacency: (N, N), normalised -> (B, N, H)."""
        near = adjacency @ x
        return functional.relu(self.own(x) + self.one_hop(near) + self.two_hop(adjacency @ near))


class Dgcnn(nn.Module):
    """Two graph layers over one learned symmetric graph, the mean over nodes, and a dense layer to logits."""

    def __init__(self, nodes: int, features: int, width: int = 64, classes: int = len(EMOTIONS)) -> None:
        super().__init__()
        self.strengths = nn.Parameter(torch.randn(nodes, nodes) * 0.1)
        self.layers = nn.ModuleList([GraphLayer(features, width), GraphLayer(width, width)])
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(width, classes)

    def adjacency(self) -> Tensor:
        """The learned graph, (N, N): symmetric, without negative edges, D^-1/2 A D^-1/2."""
        strengths = functional.relu(self.strengths + self.strengths.T) / 2
        scale = (strengths.sum(1) + 1e-6).rsqrt()
        return scale[:, None] * strengths * scale

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, N, F) features of each node -> logits (B, classes)."""
        graph = self.adjacency()
        for layer in self.layers:
            x = layer(x, graph)  # (B, N, H)
        return self.head(self.dropout(x.mean(1)))
