"""Networks of the frameworks, run as they are, beside what the importers make of them."""

import re
import warnings

import numpy as np
import torch
from torch import nn

from quant.importers.options import ImportOptions
from quant.importers.torch_module import import_module
from quant.simulate import run_float

torch.set_num_threads(1)

STEPS, SAMPLES = 8, 12


def dyadic(module, *, step=4.0, gain=1.0, drift=0.25, seed=0):
    """The module with all weights multiples of 1/step, so that float32 is exact."""
    torch.manual_seed(seed)
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            part.eps = 0.0
            part.running_var.copy_(4.0 ** torch.randint(-1, 2, part.running_var.shape))
            part.running_mean.copy_(torch.randint(-2, 3, part.running_mean.shape) / step)
            part.weight.data.copy_(torch.randint(1, 5, part.weight.shape) / step)
            part.bias.data.copy_(torch.randint(-2, 3, part.bias.shape) / step)
        elif isinstance(part, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)):
            fan = part.weight[0].numel()
            wide = gain * step * 2.5 / fan**0.5
            part.weight.data.copy_((torch.randn_like(part.weight) * wide + drift * wide).round() / step)
            if part.bias is not None:
                part.bias.data.copy_(torch.randint(-2, 3, part.bias.shape) / step)
    return module.eval()


def inputs_of(shape, *, kind="events", steps=STEPS, samples=SAMPLES, seed=0, rate=0.4):
    random = np.random.default_rng(seed)
    if kind == "current":
        return random.integers(0, 5, (samples, *shape))
    return (random.random((samples, steps, *shape)) < rate).astype(np.int64)


def watched(module):
    """Spikes of every layer that ran, by its name, in the order of its calls."""
    spikes = {}

    def watch(name):
        def hook(_, args, output):
            spikes.setdefault(name, []).append((output[0] if isinstance(output, tuple) else output).detach())

        return hook

    handles = [
        part.register_forward_hook(watch(name or type(module).__name__)) for name, part in module.named_modules()
    ]
    return spikes, handles


def run_live(module, run, *, sequences=False):
    """Spikes of every layer, ``(samples, steps, neurons)``."""
    spikes, handles = watched(module)
    with torch.no_grad():
        run(module)
    for handle in handles:
        handle.remove()
    same = {name: calls for name, calls in spikes.items() if len({call.shape for call in calls}) == 1}
    joined = {name: calls[0] if sequences else torch.stack(calls) for name, calls in same.items()}
    return {name: values.transpose(0, 1).flatten(2).numpy() for name, values in joined.items() if values.ndim > 2}


def populations(model):
    """Name of each layer's population."""
    return {
        row[0]: found[1] for row in model.metadata["layers"] if (found := re.search(r"population (\w+) of", row[2]))
    }


def assert_same_spikes(module, run, inputs, options=None, *, sequences=False, factor=1.0, busy=True, **checks):
    """The imported network spikes as the module does, at every neuron in every step."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = import_module(module, ImportOptions(steps=STEPS, **options or {}))
    live = run_live(module, run, sequences=sequences)
    flat = inputs.reshape(*inputs.shape[: 1 + (model.input.kind == "events")], -1)
    result = run_float(model, flat, record=["spikes"])
    found = populations(model)
    assert found
    for layer, name in found.items():
        expected = (live[layer] != 0).astype(np.int8)
        if busy:
            assert 0.02 < expected.mean() < 0.95, (layer, expected.mean())
        np.testing.assert_array_equal(result.spikes[name], expected, err_msg=layer)
    return model
