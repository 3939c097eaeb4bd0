"""Decoders against numbers worked by hand."""

from itertools import product

import pytest
import torch
from torch.nn import functional

from quant.errors import NetworkError
from snn.layers import Linear, Vote
from snn.loss import DECODERS, logits_of, loss_of

# One sample, two neurons, four steps: spikes of steps 1 and 3, and of step 2.
SPIKES = torch.tensor([[0.0, 0.0], [1, 0], [0, 1], [1, 0]])[:, None]
# Membranes, falling below 0.
TOTALS = torch.tensor([[0.5, 1.0], [2.0, -1.0], [-1.0, 0.25]])[:, None]


@pytest.mark.parametrize(
    ("decoder", "values", "expected"),
    [
        ("count", SPIKES, [2, 1]),
        ("linear", SPIKES, [3 / 4 + 1 / 4, 2 / 4]),
        ("exponential", SPIKES, [1 / 3 + 1 / 27, 1 / 9]),
        ("first_spike", SPIKES, [3 / 4, 2 / 4]),
        ("rates", SPIKES, [2 / 4, 1 / 4]),
        ("membrane", TOTALS, [-1.0, 0.25]),
        ("membrane_sum", TOTALS, [1.5, 0.25]),
        ("membrane_max", TOTALS, [2.0, 1.0]),
    ],
)
def test_decoders(decoder, values, expected):
    assert decoder in DECODERS
    assert logits_of(values, decoder, gain=1.0, base=3.0)[0].tolist() == pytest.approx(expected)
    assert logits_of(values, decoder, gain=2.0, base=3.0)[0].tolist() == pytest.approx([2 * item for item in expected])


def _probabilities(distances, gain):
    """Of each class, that it answers, by going through all outcomes: when each neuron fires, or never."""
    steps, _, classes = distances.shape
    fired = torch.sigmoid(gain * distances[:, 0].cummax(0).values).tolist()
    found = [0.0] * classes
    for times in product(range(steps + 1), repeat=classes):
        share = 1.0
        for neuron, time in enumerate(times):
            before = fired[time - 1][neuron] if time else 0.0
            share *= (fired[time][neuron] if time < steps else 1.0) - before
        found[times.index(min(times))] += share
    return found


@pytest.mark.parametrize("gain", [0.5, 3.0])
def test_first_crossing_is_the_probability_to_answer(gain):
    torch.manual_seed(3)
    distances = torch.randn(3, 1, 4, dtype=torch.float64)
    found = logits_of(distances, "first_crossing", gain=gain)
    expected = _probabilities(distances, gain)
    assert sum(expected) == pytest.approx(1)
    assert found[0].exp().tolist() == pytest.approx(expected)


def test_first_crossing_by_hand():
    # Both fire in step 1, for sure: the lower answers. Nobody fires: the lowest does.
    for distances in ([[-1.0, -1.0], [1.0, 1.0]], [[-1.0, -1.0], [-1.0, -1.0]]):
        found = logits_of(torch.tensor(distances)[:, None], "first_crossing", gain=40.0)
        assert found[0, 0].item() == pytest.approx(0, abs=1e-6)
        assert -35 > found[0, 1].item() > -45
    # A membrane that falls back has crossed; one that crosses earlier wins.
    found = logits_of(torch.tensor([[-1.0, 1.0], [1.0, -3.0]])[:, None], "first_crossing", gain=40.0)
    assert found[0, 1].item() == pytest.approx(0, abs=1e-6)


def test_first_crossing_has_a_gradient_far_from_the_threshold():
    distances = torch.tensor([[5.0, -5.0]])[:, None].requires_grad_()
    functional.cross_entropy(logits_of(distances, "first_crossing", gain=4.0), torch.tensor([1])).backward()
    assert distances.grad.flatten().tolist() == pytest.approx([4.0, -4.0], rel=1e-3)


def test_rates_are_read_by_votes_or_weights():
    spikes = torch.zeros(2, 1, 6)
    spikes[0, 0, [0, 3]] = spikes[1, 0, [3, 4]] = 1
    assert logits_of(spikes, "rates", gain=6.0, readout=Vote(2))[0].tolist() == pytest.approx([1.5, 3.0, 1.5])
    layer = Linear(6, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(12.0).reshape(2, 6))
        layer.bias.copy_(torch.tensor([0.5, -1.0]))
    expected = [(0 + 3 + 3 + 4) / 2 + 0.5, (6 + 9 + 9 + 10) / 2 - 1]
    assert logits_of(spikes, "rates", gain=1.0, readout=layer)[0].tolist() == pytest.approx(expected)


def test_a_first_spike_takes_the_later_ones_away():
    # Of spikes at steps 0 and 1, worth 1 and 1/2: the first has gradient 1 - 1/2, the second none.
    spikes = torch.tensor([1.0, 1.0])[:, None, None].requires_grad_()
    logits_of(spikes, "first_spike", gain=1.0).sum().backward()
    assert spikes.grad.flatten().tolist() == [0.5, 0.0]


def test_loss_is_cross_entropy_and_the_price_of_spikes():
    logits, labels = torch.tensor([[2.0, 1.0]]), torch.tensor([1])
    hidden = torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]]])
    entropy = functional.cross_entropy(logits, labels).item()
    options = {"decoder": "count", "gain": 1.0, "rate": 0.25}
    assert loss_of([hidden, SPIKES], labels, sparsity=0.0, **options).item() == pytest.approx(entropy)
    priced = loss_of([hidden, SPIKES], labels, sparsity=2.0, **options).item()
    assert priced == pytest.approx(entropy + 2 * (0.75 - 0.25) ** 2)


def test_wrong_use():
    with pytest.raises(NetworkError, match=r"^Decoder must be one of count, linear, .*, not 'loudest'$"):
        logits_of(SPIKES, "loudest", gain=1.0)
    with pytest.raises(NetworkError, match=r"^Voters must be at least 1, not 0$"):
        Vote(0)
    with pytest.raises(NetworkError, match=r"^Voters must divide the 7 neurons, not be 2$"):
        Vote(2)(torch.zeros(1, 7))
