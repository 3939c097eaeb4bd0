"""Networks of snnTorch that cannot be imported as they are: which layer, and why; and what is assumed of one."""

import pytest
import torch
from torch import nn

snn = pytest.importorskip("snntorch")

from live import STEPS, dyadic  # noqa: E402

from quant.errors import NetworkError, UnsupportedError  # noqa: E402
from quant.importers.options import ImportOptions  # noqa: E402
from quant.importers.torch_module import import_module  # noqa: E402


class Looks(nn.Module):
    """Code whose path depends on the values, or on the step."""

    def __init__(self, how):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(12, 16), snn.Leaky(beta=0.5)
        self.fc2, self.lif2 = nn.Linear(16, 6), snn.Leaky(beta=0.75)
        self.how = how

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        out, sent = torch.zeros(x.size(0), x.size(1), 6), []
        for step in range(x.size(0)):
            spk1, mem1 = self.lif1(self.fc1(x[step]), mem1)
            cur2 = self.fc2(spk1)
            if self.how == "values":
                cur2 = cur2 * (0.25 if spk1.sum() % 2 else 2.0)
            if self.how == "step" and step == 3:
                cur2 = cur2 + self.fc2(spk1)
            if self.how == "bias" and step:
                cur2 = cur2 + 1.5
            sent.append(spk1)
            if self.how == "older" and step > 1:
                cur2 = cur2 + self.fc2(sent[step - 2])
            if self.how == "membrane":
                cur2 = cur2 + self.fc2(mem1)
            if self.how == "state":
                mem1 = mem1 * 0.5
            if self.how == "relu":
                cur2 = torch.relu(cur2)
            if self.how == "twice":
                spk1, mem1 = self.lif1(self.fc1(x[step]), mem1)
            spk2, mem2 = self.lif2(cur2, mem2)
            out[step] = spk2
        return out


LOOKS = {
    "values": r"^Layer lif2 \(Leaky\) spikes otherwise than its import in step \d",
    "step": r"^Layer lif2 \(Leaky\) is given other things in step 3 than in step 7",
    "bias": r"^Layer lif2 \(Leaky\) spikes otherwise than its import in step 0",
    "older": r"^Layer lif2 \(Leaky\) is given what lif1 sent 2 steps before",
    "membrane": r"^Layer fc2 \(Linear\) computes linear of the membranes of layer lif1",
    "state": r"^Layer lif1 \(Leaky\) must start from states of 0 and be given back its own, but layer Looks",
    "relu": r"^Layer Looks \(Looks\) computes relu, which no connection can",
    "twice": r"^Layer lif1 \(Leaky\) runs 16 times in 8 steps",
}


@pytest.mark.parametrize("how", LOOKS)
def test_what_cannot_be_kept(how):
    with pytest.raises((UnsupportedError, NetworkError), match=f"(?i){LOOKS[how]}"):
        import_module(dyadic(Looks(how)), ImportOptions(steps=STEPS))


class Counts(nn.Module):
    """Called once a step, and other than before from the fifth on."""

    def __init__(self):
        super().__init__()
        self.fc, self.lif = nn.Linear(12, 16), snn.Leaky(beta=0.5, init_hidden=True)
        self.step = 0

    def forward(self, x):
        self.step += 1
        return self.lif(self.fc(x) * (4.0 if self.step > 4 else 1.0))


def test_steps_that_the_module_counts():
    with pytest.raises(UnsupportedError, match=r"^Layer lif \(Leaky\) spikes otherwise than its import in step [0-4]"):
        import_module(dyadic(Counts()), ImportOptions(steps=STEPS))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_coarse_numbers(dtype):
    net = nn.Sequential(nn.Linear(4, 4), snn.Leaky(beta=0.5, init_hidden=True)).to(getattr(torch, dtype))
    with pytest.raises(UnsupportedError, match=f"^Module Sequential computes in {dtype}, .* module.float"):
        import_module(net, ImportOptions(steps=4))


def test_assignments_are_told_of():
    model = import_module(dyadic(Looks("")), ImportOptions(steps=STEPS))
    words = "; ".join(model.metadata["assumptions"])
    assert "the spikes of layer lif2 are read, for layer Looks (Looks) assigns values to parts of a tensor" in words


REFUSALS = {
    "inhibition": (lambda: snn.Leaky(beta=0.5, inhibition=True), r"^Layer 1 \(Leaky\) has inhibition"),
    "lapicque": (
        lambda: snn.Lapicque(beta=0.5),
        r"^Layer 1 \(Lapicque\) is a neuron that cannot be imported; use Leaky",
    ),
    "alpha": (lambda: snn.Alpha(alpha=0.9, beta=0.5), r"^Layer 1 \(Alpha\) is a neuron that cannot be imported"),
    "threshold": (lambda: snn.Leaky(beta=0.5, threshold=-1.0), r"threshold must be at least 0, not -1"),
    "nan": (lambda: snn.Leaky(beta=float("nan")), r"decay must be finite"),
    "beta 0": (
        lambda: snn.Synaptic(alpha=torch.tensor([0.5, 0.0, 0.5, 0.0]), beta=torch.tensor([0.0, 0.0, 0.5, 0.5])),
        r"^Layer 1 \(Synaptic\) has a beta of 0, which takes a delayed reset by subtraction away",
    ),
    "betas": (lambda: snn.Leaky(beta=torch.ones(5)), r"^Module Sequential cannot run on samples|numbers of shape"),
}


@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
@pytest.mark.parametrize("name", REFUSALS)
def test_neurons_that_cannot_be_kept(name):
    make, message = REFUSALS[name]
    made = make()
    made.init_hidden = True
    with pytest.raises((UnsupportedError, NetworkError), match=message):
        import_module(nn.Sequential(nn.Linear(4, 4), made), ImportOptions(steps=4))


def test_a_reset_that_was_changed_later():
    net = nn.Sequential(nn.Linear(4, 4), snn.Leaky(beta=0.5, init_hidden=True))
    net[1].reset_mechanism = "zero"
    with pytest.raises(UnsupportedError, match="was made with reset_mechanism='subtract' and changed to 'zero' later"):
        import_module(net, ImportOptions(steps=4))


def test_maximum_of_sums():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), snn.Leaky(beta=0.5, init_hidden=True))
    with pytest.raises(UnsupportedError, match=r"^Layer 1 \(MaxPool2d\) takes the maximum of sums, not of spikes"):
        import_module(net, ImportOptions(steps=4, input_shape=(1, 8, 8)))


def test_shape_that_is_not_said():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), snn.Leaky(beta=0.5, init_hidden=True))
    with pytest.raises(NetworkError, match=r"^Module Sequential does not say how large its input is; .* --input-shape"):
        import_module(net, ImportOptions(steps=4))
