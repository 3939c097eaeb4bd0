import re
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

from quant.errors import FileError, NetworkError
from quant.file import content_of, save_parts
from quant.graph import Synapses
from quant.ir import Input
from quant.model import FloatInput, FloatNetwork, FloatPopulation, FloatReadout, load_model, save_model


def population(name="p", shape=(2,), threshold=1.0, **fields):
    return FloatPopulation(name=name, shape=shape, threshold=threshold, **fields)


def synapses(source="input", target="p", weights=((0.5, 1, 2), (-1, 0, 3)), **fields):
    return Synapses(source=source, target=target, kind="dense", weights=np.array(weights), **fields)


def model(**fields):
    return FloatNetwork(
        **{
            "name": "net",
            "steps": 3,
            "input": FloatInput(shape=(3,)),
            "populations": (population(),),
            "connections": (synapses(),),
            "readout": FloatReadout(population="p"),
            **fields,
        }
    )


def refuses(build, sentence):
    with pytest.raises(NetworkError, match=f"^{re.escape(sentence)}$"):
        build()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"name": "1p"},
            "Population name must be a letter followed by at most 62 letters, digits or underscores, not '1p'",
        ),
        ({"reset": "soft"}, "Population p: reset must be one of zero, subtract, none, latch, not 'soft'"),
        ({"rectify": 1}, "Population p: rectify must be true or false, not 1"),
        ({"strict": 1}, "Population p: strict must be true or false, not 1"),
        ({"threshold": "1"}, "Population p: threshold must be numbers, not '1'"),
        ({"threshold": float("nan")}, "Population p: threshold must be finite, but 1 of 1 are NaN or infinite"),
        ({"threshold": 0.0}, "Population p: threshold must be greater than 0, not 0.0"),
        ({"threshold": -1.0, "strict": True}, "Population p: threshold must be at least 0, not -1.0"),
        ({"threshold": [1.0, -2.0]}, "Population p: threshold must be greater than 0, not -2.0"),
        ({"threshold": None}, "Population p: without a threshold, reset must be 'none' and ternary false"),
        ({"reset_amount": 1.0}, "Population p: reset_amount must be given with reset 'subtract' only"),
        ({"bias": [0.0, np.inf]}, "Population p: bias must be finite, but 1 of 2 are NaN or infinite"),
        ({"bias": None}, "Population p: bias must be numbers, not None"),
        ({"bias": [True, False]}, "Population p: bias must be numbers, not [True, False]"),
        ({"bias": []}, "Population p: bias must be numbers, not []"),
        ({"bias": 1j}, "Population p: bias must be numbers, not 1j"),
        ({"decay": -0.5}, "Population p: decay must not be negative, not -0.5"),
        ({"decay": None}, "Population p: decay must be numbers, not None"),
        ({"current_decay": [0.5, -1]}, "Population p: current_decay must not be negative, not -1.0"),
        ({"initial": [1, 2, 3]}, "Population p: initial of shape (3,) must be one, per channel or per neuron of (2,)"),
    ],
)
def test_population_refuses(fields, sentence):
    refuses(lambda: population(**fields), sentence)


def test_a_strict_threshold_may_be_0():
    assert population(threshold=0.0, strict=True).threshold == 0


def test_reset_amount_is_the_threshold_unless_given():
    assert population(reset="subtract").reset_amount == 1
    assert population(reset="subtract", reset_amount=2.5).reset_amount == 2.5
    assert population().reset_amount is None


def test_numbers_per_channel_are_spread_over_maps():
    for shape in ((2,), (2, 1, 1)):
        item = population(shape=(2, 1, 2), bias=np.array([0.5, 5]).reshape(shape))
        assert item.per_neuron(item.bias).tolist() == [0.5, 0.5, 5, 5]


@pytest.mark.parametrize("lsb", [0.0, -1.0, float("nan"), float("inf"), "1", [1.0, 2.0], None, True])
def test_input_lsb_must_be_one_positive_number(lsb):
    with pytest.raises(NetworkError, match=r"^Input lsb must be "):
        FloatInput(shape=(3,), lsb=lsb)


def test_input_is_checked_as_that_of_the_integer_network():
    refuses(lambda: FloatInput(shape=(3,), high=0), "Input high must be between 1 and 65535, not 0")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"steps": 0}, "Network steps must be between 1 and 65536, not 0"),
        ({"populations": (population(), population())}, "Population name must be unique, but 'p' stands 2 times"),
        (
            {"connections": (synapses(weights=((np.nan, 1, 2), (np.inf, 0, 3))),)},
            "Connection input -> p: weights must be finite, but 2 of 6 are NaN or infinite",
        ),
        (
            {"connections": (synapses(weights=np.ones((2, 4))),)},
            "Connection input -> p: weights take 4 inputs, but the source has 3",
        ),
        ({"readout": FloatReadout(population="q")}, "Readout population must be one of p, not 'q'"),
        ({"scales": {"q": 1.0}}, "Scales must be of one of p, not 'q'"),
        ({"scales": {0: 1.0}}, "Scales must be of one of p, not 0"),
        ({"scales": {"p": 0.0}}, "Population p: scale must be positive, not 0.0"),
        ({"scales": {"p": [1.0, -1.0]}}, "Population p: scale must be positive, not -1.0"),
        ({"scales": {"p": np.nan}}, "Population p: scale must be finite, but 1 of 1 are NaN or infinite"),
        ({"scales": {"p": np.ones(3)}}, "Population p: scale of shape (3,) must be one or per channel"),
    ],
)
def test_model_refuses(fields, sentence):
    refuses(lambda: model(**fields), sentence)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"kind": "vote"}, "Readout kind must be one of count, first_spike, membrane, linear, not 'vote'"),
        ({"weights": np.eye(2)}, "Readout weights and bias must be given with kind 'linear' only"),
        ({"kind": "linear"}, "Readout weights must be integers, not None"),
        ({"kind": "linear", "weights": [[np.nan]]}, "Readout weights must be finite, but 1 of 1 are NaN or infinite"),
        (
            {"kind": "linear", "weights": np.eye(2), "bias": np.ones(3)},
            "Readout weights and bias must have shapes (classes, N) and (classes,), not (2, 2) and (3,)",
        ),
    ],
)
def test_readout_refuses(fields, sentence):
    refuses(lambda: FloatReadout(population="p", **fields), sentence)


def test_a_linear_readout_without_bias_has_zeros():
    assert FloatReadout(population="p", kind="linear", weights=np.eye(2)).bias.tolist() == [0, 0]


def whole():
    return model(
        input=FloatInput(shape=(3,), kind="current", low=-2, high=255, lsb=1 / 255, seed=7),
        populations=(
            population(
                threshold=[0.1, 1 / 3],
                strict=True,
                reset="subtract",
                reset_amount=0.7,
                decay=0.9,
                rectify=True,
                ternary=True,
                bias=[-0.1, 1e-300],
                initial=0.3,
                current_decay=[0.1, 0.2],
            ),
            population("q", reset_value=-0.25),
        ),
        connections=(
            synapses(weights=np.float32([[0.1, 1, 2], [-1, 0, 3]])),
            synapses("p", "q", np.eye(2) / 3, delay=1),
            Synapses(source="p", target="q", kind="identity", weights=np.array(0.1)),
        ),
        readout=FloatReadout(population="q", kind="linear", weights=np.eye(2) / 7, bias=np.array([0.1, 0.2])),
        scales={"p": [0.1, 0.3], "q": 0.7},
        metadata={"dataset": "digits", "accuracy": 0.97},
    )


def same(first, second):
    if isinstance(first, np.ndarray):
        return first.shape == second.shape and first.dtype == second.dtype and (first == second).all()
    if isinstance(first, (tuple, list)):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, dict):
        return list(first) == list(second) and same(list(first.values()), list(second.values()))
    if hasattr(first, "__dataclass_fields__"):
        return type(first) is type(second) and all(
            same(getattr(first, entry.name), getattr(second, entry.name)) for entry in fields(first)
        )
    return type(first) is type(second) and first == second


def test_every_field_comes_back_to_the_bit(tmp_path):
    save_model(tmp_path / "model", whole())
    assert same(load_model(tmp_path / "model"), whole())
    assert content_of(tmp_path / "model") == "model"


def test_the_same_model_gives_the_same_bytes(tmp_path):
    save_model(tmp_path / "model", whole())
    save_model(tmp_path / "again", load_model(tmp_path / "model"))
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()


BODY = {"name": "a", "steps": 1, "metadata": {}, "input": {"shape": [2]}, "readout": {"population": "p"}}
POPULATION = {"name": "p", "shape": [2], "threshold": 1}
CONNECTION = {"source": "input", "target": "p", "kind": "dense", "weights": {"array": "w"}}


def hostile(**changes):
    return {**BODY, "populations": [POPULATION], "connections": [CONNECTION], "scales": [], **changes}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, r"its header does not describe a model \(KeyError\('name'\)\)"),
        (hostile(steps=None), r"Network steps must be"),
        (hostile(populations=[{**POPULATION, "threshold": float("nan")}]), r"threshold must be finite"),
        (hostile(populations=[{**POPULATION, "decay": {"array": "w"}}]), r"decay of shape \(2, 2\) must be one"),
        (hostile(populations=[{**POPULATION, "decay": {"shift": 1}}]), r"decay must be numbers"),
        (hostile(populations=[{**POPULATION, "color": 1}]), r"does not describe a model"),
        (hostile(connections=[{**CONNECTION, "weights": "w"}]), r"weights of shape \(\) do not fit kind dense"),
        (hostile(connections=[{**CONNECTION, "kind": "identity", "weights": "w"}]), r"weights must be numbers, not "),
        (hostile(connections=[{**CONNECTION, "weights": {"array": "v"}}]), r"KeyError\('v'\)"),
        (hostile(scales=["p"]), r"KeyError\('scales.p'\)"),
        (hostile(scales={"p": 1}), r"KeyError\('scales.p'\)"),
        (hostile(scales=None), r"does not describe a model"),
        (hostile(input={"shape": [2], "lsb": 0}), r"Input lsb must be one positive number, not 0"),
    ],
)
def test_an_inconsistent_file_is_refused(tmp_path, body, words):
    save_parts(tmp_path / "model", "model", body, {"w": np.eye(2)})
    with pytest.raises(FileError, match=rf"^File .*model is inconsistent[.:] .*{words}"):
        load_model(tmp_path / "model")


def test_the_hostile_body_is_else_sound(tmp_path):
    save_parts(tmp_path / "model", "model", hostile(), {"w": np.eye(2)})
    assert load_model(tmp_path / "model").order == ("p",)


def test_a_network_file_is_no_model(tmp_path):
    save_parts(tmp_path / "network", "network", {}, {})
    with pytest.raises(FileError, match=r"must hold a model, not a 'network'$"):
        load_model(tmp_path / "network")


def test_structure_has_the_shapes_and_the_order_of_the_model():
    net = whole()
    assert net.order == ("p", "q")
    assert net.shape_of("input") == (3,)
    assert net.shape_of("q") == (2,)
    assert [item.source for item in net.incoming("q")] == ["p", "p"]
    assert isinstance(net.structure.input, Input)
    assert (net.lsb_of("input"), net.lsb_of("p")) == (1 / 255, 1.0)


def test_replacing_checks_again():
    with pytest.raises(NetworkError, match=r"^Network steps"):
        replace(whole(), steps=0)


def test_the_float_network_needs_no_torch():
    code = "import sys, quant.quantize; sys.exit('torch' in sys.modules or 'nir' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
