"""The published networks are the published ones: their sizes to the last number, and what comes out of them."""

import pytest
import torch

from emotion.networks.cnn100 import Cnn100
from emotion.networks.cnn112 import Cnn112
from emotion.networks.compact_face import CompactFace
from emotion.networks.compact_voice import CompactVoice, VoiceEnsemble
from emotion.networks.counts import as_keras
from emotion.networks.cross_attention import CrossAttention
from emotion.networks.dgcnn import Dgcnn
from emotion.networks.late_cat import LateCat
from emotion.networks.mfcc_lstm import MfccLstm
from emotion.networks.speech_cnn import SamePool, SpeechCnn


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def test_every_network_has_exactly_the_published_number_of_parameters():
    assert as_keras(Cnn112()) == 128_391
    assert as_keras(MfccLstm()) == 131_335
    assert as_keras(Cnn100()) == 1_440_967
    assert as_keras(SpeechCnn()) == 557_288
    assert as_keras(LateCat()) == 256 * 128 + 128 + 128 * 7 + 7


def test_the_counting_is_that_of_keras():
    """A batch normalisation of 8 channels has 32 numbers there: two that are learned and two that move."""
    assert as_keras(torch.nn.BatchNorm2d(8)) == 32
    assert as_keras(torch.nn.LSTM(3, 5)) == 4 * 5 * (3 + 5 + 2)  # torch alone counts a second bias
    assert as_keras(torch.nn.Sequential(torch.nn.Linear(3, 2))) == 8


def test_the_served_networks_stay_under_two_million():
    assert as_keras(CompactFace()) < 2_000_000
    assert as_keras(VoiceEnsemble(CompactVoice() for _ in range(3))) < 2_000_000


def test_faces_come_out_as_logits_of_seven_emotions():
    small, large = torch.rand(2, 1, 112, 112), torch.rand(2, 3, 100, 100)
    assert Cnn112()(small).shape == (2, 7)
    assert Cnn112().embed(small).shape == (2, 128)
    assert Cnn100()(large).shape == (2, 7)
    assert Cnn100().blocks(large).flatten(1).shape == (2, 4096)


def test_voices_come_out_as_logits():
    assert SpeechCnn()(torch.rand(2, 162)).shape == (2, 8)
    assert MfccLstm()(torch.rand(2, 120, 13)).shape == (2, 7)
    assert MfccLstm().embed(torch.rand(2, 120, 13)).shape == (2, 128)
    assert LateCat()(torch.rand(2, 128), torch.rand(2, 128)).shape == (2, 7)


def test_what_pads_a_short_recording_is_never_heard():
    network, mfcc, steps = MfccLstm().eval(), torch.randn(1, 120, 13), torch.tensor([40])
    padded, other = mfcc.clone(), mfcc.clone()
    padded[:, 40:], other[:, 40:] = 0, 99

    assert torch.allclose(network(padded, steps), network(other, steps))
    assert not torch.allclose(network(padded, steps), network(other))  # unmasked, it would be


def test_an_lstm_learns_with_one_bias_per_gate():
    network = MfccLstm()
    network(torch.rand(2, 120, 13)).sum().backward()
    second = network.first.get_parameter("bias_hh_l0")

    assert second.grad is None
    assert not second.any()


def test_the_pool_is_keras_same():
    """Steps of two over five, the odd padding on the right: worked by hand for 1…6 and for the lengths in use."""
    row = torch.tensor([[[1.0, 2, 3, 4, 5, 6]]])
    assert SamePool()(row).tolist() == [[[4.0, 6.0, 6.0]]]  # padded by 1 left, 2 right: max of 1-4, 2-6, 4-6
    lengths, x = [], torch.rand(1, 1, 162)
    for _ in range(4):
        x = SamePool()(x)
        lengths.append(x.shape[-1])
    assert lengths == [81, 41, 21, 11]


def test_the_learned_graph_is_symmetric_and_has_no_negative_edges():
    graph = Dgcnn(nodes=35, features=4).adjacency()
    assert torch.allclose(graph, graph.T)
    assert (graph >= 0).all()


def test_two_hops_reach_the_neighbours_of_neighbours_and_no_further():
    """On a chain of five nodes one layer hears the third node from the first, and not the fourth."""
    layer = Dgcnn(nodes=5, features=2).layers[0]
    chain = torch.diag(torch.ones(4), 1) + torch.diag(torch.ones(4), -1)
    x = torch.zeros(1, 5, 2)
    near, far = x.clone(), x.clone()
    near[0, 2], far[0, 3] = 1, 1
    first = layer(x, chain)[0, 0]

    assert not torch.allclose(layer(near, chain)[0, 0], first)
    assert torch.allclose(layer(far, chain)[0, 0], first)


def test_the_graph_is_learned_with_the_weights():
    """One step along the gradient of the loss moves edges, and lowers the loss."""
    network, x, labels = Dgcnn(nodes=6, features=3).eval(), torch.randn(32, 6, 3), torch.arange(32) % 7
    before = torch.nn.functional.cross_entropy(network(x), labels)
    before.backward()
    with torch.no_grad():
        network.strengths -= 2.0 * network.strengths.grad
    after = torch.nn.functional.cross_entropy(network(x), labels)

    assert network.strengths.grad.abs().max() > 0
    assert after < before


def test_attention_gives_nothing_to_a_modality_that_is_absent():
    network = CrossAttention([35, 40, 100], classes=7).eval()
    parts = [torch.rand(3, 35), torch.rand(3, 40), torch.rand(3, 100)]
    present = torch.tensor([[True, True, True], [True, False, True], [False, True, False]])
    logits, weights = network(parts, present)
    other = [parts[0], parts[1].clone(), parts[2]]
    other[1][1] = 99.0

    assert logits.shape == (3, 7)
    assert torch.allclose(weights.sum(1), torch.ones(3))
    assert not weights[~present].any()
    assert weights[2, 1] == 1
    assert torch.allclose(network(other, present)[0], logits)


def test_attention_finds_the_modality_that_tells():
    torch.manual_seed(1)
    labels = torch.randint(0, 2, (100,))
    telling = torch.randn(100, 4) + 2.0 * labels[:, None]
    network = CrossAttention([4, 4], classes=2, width=16)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
    for _ in range(15):
        optimizer.zero_grad()
        logits, _ = network([torch.randn(100, 4), telling])
        torch.nn.functional.cross_entropy(logits, labels).backward()
        optimizer.step()
    logits, _ = network.eval()([torch.randn(100, 4), telling])

    assert (logits.argmax(1) == labels).float().mean() > 0.9
