"""How many numbers a network has, as the two libraries count them."""

from __future__ import annotations

from torch import nn


def as_keras(network: nn.Module) -> int:
    """Keras' "Total params": what is trained, and the moving mean and variance of each batch normalisation.

    A second bias per recurrent gate, which torch has and Keras has not, is frozen at zero where a network here
    follows a Keras one, so it is not counted.
    """
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    moving = [b for norm in norms for b in (norm.running_mean, norm.running_var) if b is not None]
    return trained + sum(b.numel() for b in moving)
