"""What the tests of several modules share."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from quant.graph import Synapses
from quant.model import FloatInput, FloatNetwork, FloatPopulation, FloatReadout, save_model


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def spikeloom(capsys, monkeypatch, tmp_path):
    """The command line, in this process and in an empty folder."""
    from spikeloom.cli import main

    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(item) for item in arguments])
        written = capsys.readouterr()
        return Outcome(code=int(end.value.code or 0), out=written.out, err=written.err)

    return call


def float_network(**changes: Any) -> FloatNetwork:
    """Six hidden neurons that tell digits apart by chance."""
    random = np.random.default_rng(3)
    values: dict[str, Any] = {
        "name": "tiny",
        "steps": 3,
        "input": FloatInput(shape=(64,), kind="current", high=16, lsb=1 / 16),
        "populations": (
            FloatPopulation(name="hidden", shape=(6,), threshold=1.0, decay=0.5),
            FloatPopulation(name="output", shape=(10,), threshold=0.5, decay=0.5),
        ),
        "connections": (
            Synapses(source="input", target="hidden", kind="dense", weights=random.normal(0, 0.3, (6, 64))),
            Synapses(source="hidden", target="output", kind="dense", weights=random.normal(0, 0.5, (10, 6))),
        ),
        "readout": FloatReadout(population="output"),
        "metadata": {"dataset": "digits", "encoder": "direct"},
    }
    return FloatNetwork(**values | changes)


@pytest.fixture
def tiny(tmp_path):
    """File of a small float network of the digits."""
    save_model(tmp_path / "tiny.npz", float_network())
    return tmp_path / "tiny.npz"


@pytest.fixture
def network(spikeloom, tiny):
    assert spikeloom("quantize", tiny).code == 0
    return tiny.parent / "build" / "tiny" / "network.npz"
