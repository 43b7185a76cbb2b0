"""The shared loop, on a problem small enough to know."""

import numpy as np
import pytest
import torch
from torch import nn

from emotion.training import OtherRun, Schedule, fit

WEIGHT = torch.tensor([[1.0, -2.0, 0.5]])


def line(schedule, folder, *, seed=3, resume=False, refresh=None):
    """Learn y = w·x with dropout on, so that lost randomness would show."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.1), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)

    def batches(rng):
        for _ in range(20):
            x = torch.from_numpy(rng.normal(size=(32, 3)).astype(np.float32))
            yield x, x @ WEIGHT.T

    held_out = torch.from_numpy(np.random.default_rng(99).normal(size=(64, 3)).astype(np.float32))

    def score(net):
        with torch.no_grad():
            return -float(((net(held_out) - held_out @ WEIGHT.T) ** 2).mean())

    fitted = fit(
        network,
        optimizer,
        batches=batches,
        steps_per_epoch=20,
        loss=lambda net, batch: ((net(batch[0]) - batch[1]) ** 2).mean(),
        score=score,
        schedule=schedule,
        folder=folder,
        seed=seed,
        resume=resume,
        refresh=refresh,
    )
    return network, fitted, score


class Killed(Exception):
    pass


def test_a_run_cut_short_and_resumed_ends_with_the_weights_of_an_uninterrupted_run(tmp_path, monkeypatch):
    schedule = Schedule(epochs=6, average_decay=0.9)
    whole, whole_fitted, _ = line(schedule, tmp_path / "whole")

    from emotion import training

    real_save = training._save

    def save_then_die(folder, state, *rest):
        real_save(folder, state, *rest)
        if state.epoch == 3:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(training, "_save", save_then_die)
        with pytest.raises(Killed):
            line(schedule, tmp_path / "cut")
    resumed, resumed_fitted, _ = line(schedule, tmp_path / "cut", resume=True)

    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert resumed_fitted.history == whole_fitted.history
    assert resumed_fitted.epochs_done == 6


def test_the_best_epoch_is_the_one_that_is_left_in_the_network(tmp_path):
    network, fitted, score = line(Schedule(epochs=5), tmp_path)
    assert score(network) == pytest.approx(max(row["score"] for row in fitted.history))
    assert fitted.score > -0.5  # variance of y is 5.25


def test_statistics_measured_anew_are_those_that_are_scored_and_kept(tmp_path):
    seen = []

    def refresh(network):
        seen.append(network[1].running_mean.clone())
        network[1].running_mean.fill_(0.25)

    network, fitted, score = line(Schedule(epochs=2, average_decay=0.9), tmp_path, refresh=refresh)
    assert len(seen) == 2
    assert not torch.equal(seen[0], seen[1])
    assert network[1].running_mean.tolist() == [0.25] * 8
    assert score(network) == pytest.approx(fitted.score)


def test_a_state_of_another_seed_is_refused_and_of_the_same_seed_is_taken(tmp_path):
    line(Schedule(epochs=1), tmp_path)
    assert line(Schedule(epochs=1), tmp_path, resume=True)[1].epochs_done == 1
    with pytest.raises(OtherRun):
        line(Schedule(epochs=1), tmp_path, seed=4, resume=True)


def test_a_time_budget_ends_the_run_before_its_epochs(tmp_path):
    _, fitted, _ = line(Schedule(epochs=100_000, minutes=0.01), tmp_path)
    assert 1 <= fitted.epochs_done < 100_000


def test_the_rate_warms_up_and_then_falls_to_zero():
    schedule = Schedule(warmup=0.1)
    assert schedule.rate(0.0) < 0.02
    assert schedule.rate(0.1) == pytest.approx(1.0)
    assert schedule.rate(0.55) == pytest.approx(0.5)
    assert schedule.rate(1.0) == pytest.approx(0.0)
