import pytest
import torch

from quant.errors import NetworkError
from quant.model import FloatInput
from snn.layers import AvgPool2d, BatchNorm, Conv2d, Dropout, Flatten, Linear, MaxPool2d
from snn.network import SpikingNetwork
from snn.neurons import IF

torch.set_num_threads(1)


def test_dropout_drops_the_same_neurons_in_every_step():
    torch.manual_seed(0)
    layer = Dropout(0.5)
    y = layer(torch.ones(6, 3, 40))
    assert (y == y[0]).all()
    assert set(y.unique().tolist()) == {0.0, 2.0}
    assert not (y[0, 0] == y[0, 1]).all()
    layer.eval()
    assert (layer(torch.ones(6, 3, 40)) == 1).all()


def test_batch_norm_normalises_over_samples_steps_and_positions():
    torch.manual_seed(0)
    x = 3 + 2 * torch.randn(5, 8, 4, 6, 6)
    y = BatchNorm(4)(x)
    assert y.shape == x.shape
    torch.testing.assert_close(y.mean((0, 1, 3, 4)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var((0, 1, 3, 4), unbiased=False), torch.ones(4), atol=1e-4, rtol=0)
    flat = BatchNorm(4)(x[..., 0, 0])
    torch.testing.assert_close(flat.mean((0, 1)), torch.zeros(4), atol=1e-5, rtol=0)


def test_batch_norm_wants_channels():
    with pytest.raises(NetworkError, match=r"must be given \(T, B, channels, \.\.\.\), not \(2, 3\)"):
        BatchNorm(3)(torch.zeros(2, 3))


def test_maps_keep_their_steps_apart():
    torch.manual_seed(0)
    x = torch.randn(3, 2, 4, 6, 6)
    for layer in (Conv2d(4, 5, 3), MaxPool2d(2)):
        torch.testing.assert_close(layer(x)[1, 1], layer.inner(x[1, 1][None])[0])
    assert Flatten()(x).shape == (3, 2, 144)


@pytest.mark.parametrize(("kernel", "sides"), [(2, (6, 6)), (2, (7, 5)), (3, (7, 6)), ((1, 3), (2, 7)), (1, (2, 3))])
def test_averages_and_their_gradients_are_those_of_torch(kernel, sides):
    torch.manual_seed(0)
    x = torch.randn(3, 2, 4, *sides, dtype=torch.float64, requires_grad=True)
    ours, theirs = AvgPool2d(kernel)(x), torch.nn.functional.avg_pool2d(x.flatten(0, 1), kernel)
    torch.testing.assert_close(ours, theirs.unflatten(0, (3, 2)))
    given = torch.randn_like(ours)
    torch.testing.assert_close(
        *(torch.autograd.grad(result, x, given.reshape(result.shape))[0] for result in (ours, theirs))
    )


def test_constant_input_is_the_same_in_every_step():
    torch.manual_seed(0)
    source = FloatInput(shape=(4,), kind="current", high=7, lsb=0.5)
    layer = Linear(4, 3)
    network = SpikingNetwork([layer, IF(reset="none", threshold=1e6)], input=source, steps=5)
    network.neurons[0].record = True
    x = torch.tensor([[1, 0, 7, 2]])
    assert network(x).shape == (5, 1, 3)
    expected = torch.arange(1, 6)[:, None] * layer(x[0] * 0.5)
    torch.testing.assert_close(network.neurons[0].membranes[:, 0], expected)


def test_events_come_step_by_step():
    source = FloatInput(shape=(2,), kind="events")
    layer = Linear(2, 2, bias=False)
    torch.nn.init.eye_(layer.weight)
    network = SpikingNetwork([layer, IF()], input=source, steps=3)
    events = torch.tensor([[[1, 0], [0, 0], [1, 1]], [[0, 1], [1, 0], [0, 0]]])
    torch.testing.assert_close(network(events), events.movedim(1, 0).float())


@pytest.mark.parametrize(
    ("layers", "options", "message"),
    [
        ([Linear(2, 2)], {}, "Last layer of a spiking network must be a neuron"),
        ([], {}, "Last layer of a spiking network must be a neuron"),
        ([IF()], {"steps": 0}, "Steps must be at least 1, not 0"),
        ([IF()], {"kind": "rate"}, "Input of a spiking network must be of kind events or current, not rate"),
    ],
)
def test_wrong_use(layers, options, message):
    source = FloatInput(shape=(2,), kind=options.get("kind", "events"))
    with pytest.raises(NetworkError, match=f"^{message}$"):
        SpikingNetwork(layers, input=source, steps=options.get("steps", 1))
