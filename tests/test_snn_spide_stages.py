"""The stages of SPIDE: by hand, against equilibria and implicit gradients in float64, and against the golden model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.func import vjp

from quant.model import FloatInput
from quant.quantize import quantize
from quant.simulate import run_float
from sim import golden
from snn.spide.export import to_float
from snn.spide.network import FeedbackNetwork, Layer, build_network
from snn.spide.projection import DenseProjection
from snn.spide.stages import backward_stage, forward_stage
from snn.spide.update import gradients


def column(*values):
    return torch.tensor(values, dtype=torch.float64).reshape(-1, 1)


def pair(*, there=2.0, back=-1.0, bias=0.0, leak=1.0):
    """One neuron, one behind it, and one weight back; the input has weight 1."""

    def layer(weight):
        projection = DenseProjection(weights=column(weight), source=(1,), target=(1,))
        one = torch.tensor(1.0, dtype=torch.float64)
        return Layer(projection=projection, bias=one.new_tensor([bias]), threshold=one, reset=2 * one)

    return FeedbackNetwork(
        layers=(layer(1.0), layer(there)),
        feedback=DenseProjection(weights=column(back), source=(1,), target=(1,)),
        readout_weights=column(1.0, -1.0),
        readout_bias=torch.zeros(2, dtype=torch.float64),
        leak=leak,
    )


def deep(layers="6-5", feedback="F6", shape=(1, 2, 4), *, seed=0, leak=1.0):
    """A random network in float64 whose neurons mostly fire, but not always."""
    network = build_network(layers, feedback, shape=shape, classes=3, seed=seed, leak=leak)
    random = np.random.default_rng(seed)
    named = {name: tensor.double() for name, tensor in network.tensors().items()}
    for name, tensor in named.items():
        if name.startswith("bias"):
            named[name] = torch.from_numpy(random.uniform(0.3, 1.5, tensor.shape))
    if feedback:
        named["feedback"] *= 1.5 / named["feedback"].norm()
    layers = tuple(
        replace(layer, threshold=layer.threshold.double(), reset=layer.reset.double()) for layer in network.layers
    )
    return replace(network, layers=layers).with_tensors(named)


def test_forward_by_hand():
    # u1: 1* -> -1; -1+1-1 = -1; 0; 1*; ...   u2: 2* -> 0; 0; 0; 2*; ...
    forward = forward_stage(pair(), column(1.0), steps=7, record=True)
    assert forward.spikes[0].flatten().tolist() == [1, 0, 0, 1, 0, 0, 1]
    assert forward.spikes[1].flatten().tolist() == [1, 0, 0, 1, 0, 0, 1]
    assert float(forward.counts) == 3
    assert [float(rate) for rate in forward.rates] == [3 / 7, 3 / 7]


def test_biases_come_at_every_step():
    # u1: 1.5* -> -0.5; -0.5+1.5-1 = 0; 0+1.5-1 = 0.5; 2* -> 0.   u2: 2.5* -> 0.5; 1* -> -1; -0.5; 2* -> 0.
    forward = forward_stage(pair(bias=0.5), column(1.0), steps=4, record=True)
    assert forward.spikes[0].flatten().tolist() == [1, 0, 0, 1]
    assert forward.spikes[1].flatten().tolist() == [1, 1, 0, 1]


def test_leak_comes_after_the_reset():
    # 1* -> -1 -> -0.5; -0.5+1 = 0.5 -> 0.25; 1.25* -> -0.75 -> -0.375; 0.625; 1.3125*
    forward = forward_stage(pair(there=0.0, back=0.0, leak=0.5), column(1.0), steps=5, record=True)
    assert forward.spikes[0].flatten().tolist() == [1, 0, 1, 0, 1]
    assert float(forward.rates[0]) == pytest.approx((1 / 16 + 1 / 4 + 1) / (31 / 16))
    assert float(forward.counts) == 0


def test_backward_by_hand():
    # U2: 1* -> -1; -1+1-1 = -1* -> 1; 1+1+1 = 3* -> 1; 1+1-1 = 1* -> -1; and so on. U1: twice e2, always fires alike.
    half = column(0.5)
    first, second = backward_stage(pair(), (half, half), half, steps=7)
    assert float(first) == float(second) == 3 / 7
    assert float(backward_stage(pair(), (half, half), half, steps=2)[1]) == 0
    assert float(backward_stage(pair(), (half, half), -half, steps=1)[1]) == -1


@pytest.mark.parametrize("stuck", [0.0, 1.0])
def test_masked_neurons_pass_nothing_on(stuck):
    half = column(0.5)
    # The first neuron is stuck: nothing comes back, and beta_2 = g = 1/2.
    first, second = backward_stage(pair(), (column(stuck), half), half, steps=8)
    assert (float(first), float(second)) == (0, 0.5)
    first, second = backward_stage(pair(), (half, column(stuck)), half, steps=8)
    assert (float(first), float(second)) == (0, 0)


def test_local_update_by_hand():
    # Rates 1/3 and 1/3 of six steps; scores 1/3 and -1/3; error of the first class p - 1.
    network, steps = pair(), 6
    p = 1 / (1 + np.exp(-2 / 3))
    found = gradients(network, column(1.0), torch.tensor([0]), steps=steps, back_steps=7, gain=0.25 / (1 - p))
    # g = W_c^T (p - onehot) = 2 (p - 1), times the gain: -1/2. Hence both betas are -3/7.
    assert found.loss == pytest.approx(-np.log(p))
    assert found.right == 1
    worth = -3 / 7 / 2 * (1 - p) / 0.25
    assert float(found.named["weights0"]) == pytest.approx(worth * 1)
    assert float(found.named["weights1"]) == pytest.approx(worth / 3)
    assert float(found.named["feedback"]) == pytest.approx(worth / 3)
    assert float(found.named["bias0"]) == float(found.named["bias1"]) == pytest.approx(worth)
    np.testing.assert_allclose(found.named["readout_bias"].numpy(), [p - 1, 1 - p])
    np.testing.assert_allclose(found.named["readout_weights"].flatten().numpy(), [(p - 1) / 3, (1 - p) / 3])


def equations(network, inputs, rates):
    """One round of the equilibrium equations."""
    layers = network.layers
    new, before = [], inputs
    for index, (layer, projection) in enumerate(zip(layers, [item.projection for item in layers], strict=True)):
        drive = projection.there(before if index == 0 else rates[index - 1]) + layer.spread(layer.bias)
        if index == 0 and network.feedback is not None:
            drive = drive + network.feedback.there(rates[-1])
        new.append((drive / 2).clamp(0, 1))
    return new


def equilibrium(network, inputs):
    rates = [inputs.new_zeros(len(inputs), *layer.shape) for layer in network.layers]
    for _ in range(4000):
        before, rates = rates, equations(network, inputs, rates)
        if max(float((a - b).abs().max()) for a, b in zip(before, rates, strict=True)) < 1e-14:
            return rates
    raise AssertionError("no equilibrium")


def implicit(network, inputs, labels):
    """Gradients of the loss at the equilibrium, by the implicit function theorem and a linear solve, in float64."""
    rates = equilibrium(network, inputs)
    sizes = [rate[0].numel() for rate in rates]

    def flat(parts):
        return torch.cat([part.flatten(1) for part in parts], 1)

    def split(whole):
        parts = whole.split(sizes, 1)
        return [part.reshape(rate.shape) for part, rate in zip(parts, rates, strict=True)]

    errors = torch.softmax(network.scores(rates[-1]), 1)
    errors[torch.arange(len(labels)), labels] -= 1
    last = errors @ network.readout_weights / len(labels)
    whole = torch.cat([torch.zeros(len(labels), sum(sizes[:-1]), dtype=last.dtype), last], 1)
    jacobian = torch.autograd.functional.jacobian(
        lambda z: flat(equations(network, inputs, split(z))).sum(0), flat(rates)
    )
    eye = torch.eye(sum(sizes), dtype=last.dtype)
    # jacobian[i, b, j] = df_i / dz_j of sample b.
    adjoint = torch.stack([torch.linalg.solve(eye - jacobian[:, b].t(), whole[b]) for b in range(len(labels))])
    named = {key: value for key, value in network.tensors().items() if not key.startswith("readout")}

    def of(named):
        moved = network.with_tensors({**network.tensors(), **named})
        return flat(equations(moved, inputs, rates))

    (found,) = vjp(of, named)[1](adjoint)
    return found


@pytest.mark.parametrize(
    ("layers", "feedback", "shape", "seed"),
    [
        ("6", "F6", (1, 2, 4), 0),
        ("7-5-6", "F7", (1, 2, 4), 0),
        ("6-5", "", (1, 2, 4), 0),
        ("3C3s2-4C3s2", "F3C3u2", (2, 6, 5), 0),
        # A neuron that is silent at the equilibrium but spikes on the way there is not masked, and its part of the
        # gradient stays wrong. With this seed there is none.
        ("3C3-AP2-4C3-5", "F90", (1, 6, 5), 1),
    ],
)
def test_gradients_go_to_the_implicit_ones(layers, feedback, shape, seed):
    network = deep(layers, feedback, shape, seed=seed)
    random = np.random.default_rng(1)
    inputs = torch.from_numpy(random.uniform(0, 0.8, (3, *network.layers[0].projection.source)))
    labels = torch.tensor([0, 1, 2])
    wanted = implicit(network, inputs, labels)
    rates = equilibrium(network, inputs)
    assert any(float(((rate == 0) | (rate == 1)).float().mean()) > 0 for rate in rates) or layers == "6-5"
    apart, errors = [], []
    for steps in (16, 128, 1024):
        forward = forward_stage(network, inputs, steps=steps)
        apart.append(max(float((a - b).abs().max()) for a, b in zip(forward.rates, rates, strict=True)))
        found = gradients(network, inputs, labels, steps=steps, back_steps=steps, gain=2.0).named
        errors.append({name: float((found[name] - wanted[name]).norm() / wanted[name].norm()) for name in wanted})
    assert apart[2] < apart[1] < apart[0]
    assert apart[2] < 0.02
    for name in wanted:
        assert errors[2][name] < errors[0][name]
        assert errors[2][name] < 0.08, (name, errors)


def test_quiet_samples_change_nothing_alone_or_among_others():
    network, random = deep(), np.random.default_rng(3)
    inputs = torch.from_numpy(random.uniform(0, 0.8, (6, 8)))
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    rates = forward_stage(network, inputs, steps=12)
    errors = torch.softmax(network.scores(rates.counts / 12), 1) - torch.eye(3, dtype=torch.float64)[labels]
    drive = errors @ network.readout_weights
    # Half of the samples bring a charge below 1 in nine steps.
    gain = 1 / (2 * 9 * float(drive.abs().amax(1).median() * 1.01))
    betas = backward_stage(network, rates.rates, gain * drive, steps=9)
    silent = [not any(bool(beta[index].any()) for beta in betas) for index in range(6)]
    assert 0 < sum(silent) < 6
    common = {"steps": 12, "back_steps": 9, "gain": gain}
    together = gradients(network, inputs, labels, **common).named
    for name in ("weights0", "weights1", "feedback", "bias0", "bias1"):
        alone = [gradients(network, inputs[i : i + 1], labels[i : i + 1], **common).named[name] for i in range(6)]
        torch.testing.assert_close(together[name], torch.stack(alone).mean(0))
        if name == "bias1":
            assert [not bool(item.any()) for item in alone] == silent


def dyadic(network):
    """The network with weights and biases of 1/32."""
    return network.with_tensors(
        {name: torch.round(tensor * 32).clamp(-31, 31) / 32 for name, tensor in network.tensors().items()}
    )


def inputs_of(network):
    """Integers 0 to 3, and what they are worth in fourths."""
    source = FloatInput(shape=network.layers[0].projection.source, kind="current", high=3, lsb=1 / 4)
    inputs = np.random.default_rng(5).integers(0, 4, (12, source.size))
    return source, inputs, torch.from_numpy(inputs / 4).reshape(12, *source.shape)


def assert_same(result, network, forward, steps):
    for index, spikes in enumerate(forward.spikes, 1):
        wanted = spikes.flatten(2).swapaxes(0, 1).numpy()
        assert 0.02 < wanted.mean() < 0.98
        np.testing.assert_array_equal(result.spikes[f"layer{index}"], wanted)
    scores = network.scores(forward.counts / steps).numpy()
    np.testing.assert_array_equal(result.answers, scores.argmax(1))


@pytest.mark.parametrize(
    ("layers", "feedback"),
    [("6-5", "F6"), ("6", "F6"), ("3C3s2-4C3s2", "F3C3u2"), ("3C3-4C3", "F3C5"), ("3C3-AP2-4C3-5", "F192")],
)
def test_golden_spikes_are_the_forward_stages(layers, feedback):
    network, steps = dyadic(deep(layers, feedback, (1, 8, 8))), 8
    source, inputs, maps = inputs_of(network)
    model = to_float(network, name="net", steps=steps, source=source)
    integers, _ = quantize(model, weight_bits=8, state_bits=31)
    result = golden.run(integers, inputs, record=("spikes",))
    assert_same(result, network, forward_stage(network, maps, steps=steps, record=True), steps)


def test_leaky_spikes_are_the_float_networks():
    network, steps = dyadic(deep("6-5", "F6", (1, 8, 8), leak=0.75)), 8
    source, inputs, maps = inputs_of(network)
    model = to_float(network, name="net", steps=steps, source=source)
    result = run_float(model, inputs, record=("spikes",))
    assert_same(result, network, forward_stage(network, maps, steps=steps, record=True), steps)
