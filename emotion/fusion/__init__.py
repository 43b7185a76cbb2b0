"""One estimate from several modalities: `fuse`, the strategies behind it, and how far each modality contributed."""

from emotion.disparity import jensen_shannon
from emotion.fusion.best_modality import BestModality
from emotion.fusion.fuse import STRATEGIES, VERSION, Fused, fuse
from emotion.fusion.population import Population, fit_population, log_odds
from emotion.fusion.shapley import contributions
from emotion.fusion.strategy import Posteriors, Reading, Strategy

__all__ = [
    "STRATEGIES",
    "VERSION",
    "BestModality",
    "Fused",
    "Population",
    "Posteriors",
    "Reading",
    "Strategy",
    "contributions",
    "fit_population",
    "fuse",
    "jensen_shannon",
    "log_odds",
]
