"""Modules from the user's own Python, state dicts, and the commands that take them."""

import pickle
import re

import numpy as np
import pytest
import torch
from torch import nn

snn = pytest.importorskip("snntorch")

from quant.errors import FileError, NetworkError, UnsupportedError  # noqa: E402
from quant.importers import ImportOptions, is_python, load  # noqa: E402
from quant.importers.alive import check_alive  # noqa: E402
from quant.importers.torch_files import load_weights, module_of  # noqa: E402
from quant.importers.torch_module import import_module  # noqa: E402

torch.set_num_threads(1)

NETS = """
import torch, snntorch as snn
from torch import nn

def small():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(8, 12), snn.Leaky(beta=0.5, init_hidden=True),
        nn.Linear(12, 3), snn.Leaky(beta=0.5, init_hidden=True, output=True),
    )

ready = small()
number = 3

def dead():
    net = small()
    net[2].weight.data.zero_()
    return net

def asks(size):
    return small()

def fails():
    raise ValueError("no such size")

def leaves():
    raise SystemExit(3)
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """A module of Python in the current folder; its name."""
    name = f"nets_{re.sub(r'[^0-9a-z]', '_', tmp_path.name)}"
    (tmp_path / f"{name}.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    return name


def test_arguments():
    assert is_python("a.b:c")
    for other in ("a.nir", "digits-klif", "a:b:c", "C:\\nets", "a/b:c", ":c", "a:"):
        assert not is_python(other)


def test_more_steps_than_a_network_can_have():
    with pytest.raises(NetworkError, match=r"^Option --steps must be at most 65536, not 100000000$"):
        ImportOptions(steps=100_000_000)


def test_function_and_module(nets):
    one = load(f"{nets}:small", ImportOptions(steps=4))
    other = load(f"{nets}:ready", ImportOptions(steps=4, name="mine"))
    np.testing.assert_array_equal(one.connections[0].weights, other.connections[0].weights)
    assert (one.name, other.name, one.steps) == ("imported", "mine", 4)


def test_weights_replace_those_of_the_module(nets, tmp_path):
    net = module_of(f"{nets}:small")
    net[0].weight.data.fill_(0.25)
    net[1].beta.fill_(0.125)
    for name, saved in (("plain", net.state_dict()), ("nested", {"epoch": 3, "state_dict": net.state_dict()})):
        torch.save(saved, tmp_path / name)
        model = load(f"{nets}:small", ImportOptions(steps=4), weights=tmp_path / name)
        assert (model.connections[0].weights == 0.25).all()
        assert model.populations[0].decay == 0.125


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("number", r"must make a torch module, not int$"),
        ("nothing", r"must have a nothing, which makes the network; it has none$"),
        ("asks", r"must make a torch module without arguments, but raises TypeError: asks\(\) missing 1"),
        ("leaves", r"must make a torch module without arguments, but raises SystemExit: 3$"),
        ("fails", r"but raises ValueError: no such size$"),
    ],
)
def test_factories_that_make_no_module(nets, factory, message):
    with pytest.raises(UnsupportedError, match=message):
        load(f"{nets}:{factory}")


def test_python_that_cannot_be_imported(nets, tmp_path):
    (tmp_path / "broken_nets.py").write_text("1 / 0")
    with pytest.raises(UnsupportedError, match=r"^Python module broken_nets cannot be imported \(ZeroDivisionError"):
        load("broken_nets:small")
    with pytest.raises(UnsupportedError, match=r"^Python module no_such_nets cannot be imported"):
        load("no_such_nets:small")
    (tmp_path / "script_nets.py").write_text("raise SystemExit(0)")
    with pytest.raises(UnsupportedError, match=r"^Python module script_nets cannot be imported \(SystemExit: 0\)"):
        load("script_nets:small")


class Evil:
    def __reduce__(self):
        return (open, ("harmed", "w"))


def test_files_that_are_no_state_dict(nets, tmp_path):
    net = module_of(f"{nets}:small")
    (tmp_path / "evil").write_bytes(pickle.dumps({"a": Evil()}, protocol=2))
    (tmp_path / "junk").write_bytes(b"\x00\x01junk")
    torch.save(net.state_dict(), tmp_path / "cut")
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-300])
    torch.save([1, 2], tmp_path / "list")
    torch.save({"a": 1}, tmp_path / "numbers")
    torch.save(net[:2].state_dict(), tmp_path / "short")
    for name, words in {
        "missing": "does not exist",
        "evil": "holds more than numbers, and loading it could run code; save the state dict alone",
        "junk": "cannot be read by torch|holds more than numbers",
        "cut": "cannot be read by torch",
        "list": "is not a state dict; save the state dict alone",
        "numbers": "is not a state dict",
        "short": r"does not fit Sequential: Missing key\(s\) in state_dict: .*2\.weight",
    }.items():
        with pytest.raises(FileError, match=f"^File .*{name} .*({words})"):
            load_weights(net, tmp_path / name)
    assert not (tmp_path / "harmed").exists()


def test_weights_of_a_nir_file(tmp_path):
    with pytest.raises(NetworkError, match=r"^Option --weights must be given with package\.module:factory"):
        load(str(tmp_path / "a.nir"), weights=tmp_path / "b")


class TestAlive:
    def network(self, *layers):
        return import_module(nn.Sequential(*layers), ImportOptions(steps=4))

    def linear(self, weight, bias=0.0):
        made = nn.Linear(2, 1)
        made.weight.data.fill_(weight)
        made.bias.data.fill_(bias)
        return made

    def leaky(self, threshold, beta=0.5):
        return snn.Leaky(beta=beta, threshold=threshold, init_hidden=True)

    def test_largest_sum_of_all_steps(self):
        """Both inputs at 0.5 each step: 1, 1.5, 1.75, 1.875 at most; a neuron fires above its threshold."""
        check_alive(self.network(self.linear(0.5), self.leaky(1.87)))
        with pytest.raises(NetworkError, match=r"^Population layer1 is dead: .* largest membrane is 1\.875 and"):
            check_alive(self.network(self.linear(0.5), self.leaky(1.875)))

    def test_bias_counts(self):
        check_alive(self.network(self.linear(0.5, 0.5), self.leaky(2.7)))
        with pytest.raises(NetworkError, match="is dead: no neuron can reach its threshold"):
            check_alive(self.network(self.linear(0.5, -0.5), self.leaky(1.5)))

    def test_nothing_comes(self):
        with pytest.raises(NetworkError, match=r"^Population layer1 is dead: all weights into it are 0"):
            check_alive(self.network(self.linear(0.0, 5.0), self.leaky(1.0)))

    def test_second_order(self):
        check_alive(self.network(self.linear(0.5), snn.Synaptic(0.5, 0.5, threshold=3.2, init_hidden=True)))
        with pytest.raises(NetworkError, match=r"largest membrane is 3\.25 and"):
            check_alive(self.network(self.linear(0.5), snn.Synaptic(0.5, 0.5, threshold=3.3, init_hidden=True)))


class TestCommands:
    def test_check(self, spikeloom, nets):
        found = spikeloom("check", f"{nets}:small", "--steps", "5", "--json")
        assert found.code == 0, found.err
        assert [row[:2] for row in found.json["source"]] == [
            ["0", "Linear"],
            ["1", "Leaky"],
            ["2", "Linear"],
            ["3", "Leaky"],
        ]
        assert any("--input-kind" in item for item in found.json["assumptions"])

    def test_evaluate(self, spikeloom, nets, tmp_path):
        random = np.random.default_rng(0)
        samples = {"inputs": random.integers(0, 256, (30, 8)), "labels": random.integers(0, 3, 30)}
        np.savez(tmp_path / "some.npz", **samples)
        torch.save(module_of(f"{nets}:small").state_dict(), tmp_path / "w.pt")
        options = ("--steps", "5", "--input-kind", "current", "--weights", "w.pt", "--inputs", "some.npz")
        found = spikeloom("evaluate", f"{nets}:small", *options, "--json")
        assert found.code == 0, found.err
        assert found.json["samples"] == 30
        assert 0 < found.json["float_accuracy"] < 1

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("{}:dead",), "is dead: all weights into it are 0"),
            (("{}:small", "--input-shape", "a"), "Option --input-shape must be sizes such as 784 or 1,28,28"),
            (("{}:small", "--input-shape", "9"), "cannot run on samples of shape (9,): it raises RuntimeError"),
            (("{}:small", "--readout", "best"), "Option --readout must be one of count, first_spike, membrane"),
            (("{}:small", "--weights", "none.pt"), "File none.pt does not exist"),
            (("digits-klif", "--steps", "3"), "Options of imported networks must go with a .nir file or"),
        ],
    )
    def test_mistakes(self, spikeloom, nets, tmp_path, arguments, words):
        before = sorted(item.name for item in tmp_path.iterdir() if item.name != "__pycache__")
        found = spikeloom("quantize", *(item.format(nets) for item in arguments))
        assert (found.code, found.out) == (2, "")
        assert words in found.err
        assert found.err.count("\n") == 1
        assert sorted(item.name for item in tmp_path.iterdir() if item.name != "__pycache__") == before

    def test_checkpoint_alone(self, spikeloom, nets, tmp_path):
        torch.save({}, tmp_path / "w.pt")
        found = spikeloom("check", tmp_path / "w.pt")
        assert found.code == 2
        assert "name the Python that builds its network: package.module:factory --weights" in found.err
