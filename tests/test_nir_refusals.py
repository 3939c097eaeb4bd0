"""NIR graphs that cannot be."""

import nir
import numpy as np
import pytest
from nirs import DT, graph, lif, ones, slow

from quant.errors import SpikeloomError, UnsupportedError
from quant.importers.nir import from_nir

# What cannot be.

FC = {"fc": nir.Linear(np.ones((2, 4)))}
CHAIN = [("input", "fc"), ("fc", "lif"), ("lif", "output")]


def nan(value):
    weights = np.ones((2, 4))
    weights[1, 2] = value
    return {"fc": nir.Linear(weights)}


@pytest.mark.parametrize(
    ("nodes", "edges", "words"),
    [
        (
            {"fc": nir.Linear(np.ones((4, 4))), "mix": nir.Linear(np.eye(4)), "lif": lif(4)},
            [("input", "fc"), ("fc", "mix"), ("mix", "fc"), ("mix", "lif"), ("lif", "output")],
            "Loop fc -> mix -> fc has no neuron in it, so that its sum never settles",
        ),
        ({**FC, "lif": lif(3)}, None, r"Node lif \(LIF\) has 3 neurons, but what leads into it makes 2"),
        (
            {**FC, "lif": lif(2), "fc2": nir.Linear(np.ones((2, 3))), "lif2": lif(2)},
            None,
            r"Node fc2 \(Linear\) must take all 2 neurons, not 3",
        ),
        ({**FC, "lif": lif(2)}, [*CHAIN, ("lif", "lost")], "Edge lif -> lost must join nodes of the graph, .* 'lost'"),
        ({**FC, "lif": lif(2)}, CHAIN[1:], r"Node fc \(Linear\) must have an edge that leads into it; it has none"),
        (
            {**FC, "lif": lif(2), "loop": nir.Linear(np.eye(2))},
            [("input", "fc"), ("lif", "loop"), ("loop", "lif"), ("lif", "output")],
            r"Node input \(Input\) must lead to node output",
        ),
        ({**FC, "lif": lif(2)}, CHAIN[:2], r"Node output \(Output\) must have an edge that leads into it; it has none"),
        (FC, None, "Graph must have neurons between its input and its output, but it has none"),
        ({**nan(np.nan), "lif": lif(2)}, None, r"Node fc \(Linear\): weight must be finite, but 1 of 8 are NaN"),
        ({**nan(np.inf), "lif": lif(2)}, None, r"Node fc \(Linear\): weight must be finite, but 1 of 8 are NaN"),
        ({**FC, "lif": lif(2, threshold=np.nan)}, None, r"Node lif \(LIF\): v_threshold must be finite"),
        ({"fc": nir.Linear(np.zeros((2, 4))), "lif": lif(2)}, None, r"Node lif \(LIF\) is dead: all weights into it"),
        ({**FC, "lif": lif(2, threshold=-1.0)}, None, r"Node lif \(LIF\) has a threshold below its reset value"),
        ({**FC, "lif": slow(-1.0)}, None, r"Node lif \(LIF\): tau must be positive, not -1"),
        (
            {**FC, "wait": nir.Delay(np.full(2, 3 * DT)), "lif": lif(2)},
            None,
            r"Node wait \(Delay\) delays by 3 to 3 steps .* only a delay of one step",
        ),
        (
            {**FC, "wait": nir.Delay(np.full(2, DT)), "more": nir.Delay(np.full(2, DT)), "lif": lif(2)},
            None,
            "Way input -> fc -> wait -> more -> lif is 2 steps long, and only one can be kept",
        ),
        (
            {**FC, "li": nir.LI(tau=ones(2) * 2 * DT, r=ones(2), v_leak=0 * ones(2)), "fc2": FC["fc"], "lif": lif(2)},
            None,
            r"Node fc2 \(Linear\) must take all 2 neurons, not 4",
        ),
        (
            {**FC, "li": nir.LI(tau=ones(2) * 2 * DT, r=ones(2), v_leak=0 * ones(2)), "lif": lif(2)},
            None,
            r"Node li \(LI\) sends its membranes to lif, and only spikes can be sent",
        ),
        (
            {**FC, "lif": lif(2), "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))},
            None,
            r"Node pool \(SumPool2d\) must be given maps",
        ),
        (
            {**FC, "lif": lif(2), "two": lif(2)},
            [*CHAIN, ("fc", "two"), ("two", "output")],
            "Output must read one layer",
        ),
        (
            {"conv": nir.Conv2d((2, 2), np.ones((1, 1, 2, 2)), 2, "same", 1, 1, np.zeros(1)), "lif": lif((1, 1, 1))},
            None,
            r"Node conv \(Conv2d\) with padding 'same' must have stride 1",
        ),
        (
            {"conv": nir.Conv2d(None, np.ones((1, 1, 2, 2)), 0, 0, 1, 1, np.zeros(1)), "lif": lif((1, 1, 1))},
            None,
            r"Node conv \(Conv2d\): stride must be one integer or two of 1 to 65536, not \(0, 0\)",
        ),
        (
            {"conv": nir.Conv2d((5, 4), np.ones((1, 1, 2, 2)), 1, 0, 1, 1, np.zeros(1)), "lif": lif((1, 1, 1))},
            None,
            r"Node conv \(Conv2d\) is written for maps of 5 by 4, but .* makes 2 by 2; .* --input-shape",
        ),
        ({"in2": nir.Input(np.array([4])), **FC, "lif": lif(2)}, None, "Graph must have one Input node, but it has 2"),
    ],
)
def test_what_cannot_be_is_refused_by_name(nodes, edges, words):
    shape = (1, 2, 2) if "conv" in nodes else (4,)
    with pytest.raises(SpikeloomError, match=words):
        from_nir(graph(nodes, edges, shape=shape, metadata={"dt": DT}))


def test_an_output_of_another_size():
    made = graph({**FC, "lif": lif(2)}, output=(3,))
    with pytest.raises(SpikeloomError, match=r"^Node output \(Output\) has a shape \(3,\), but .* makes 2$"):
        from_nir(made)
    for nodes in (
        {**FC, "lif": lif(2)},
        {"fc": nir.Linear(np.ones((3, 4))), "lif": lif(3), "out": nir.Linear(np.ones((2, 3)))},
    ):
        from_nir(graph(nodes, output=(1, 2)))


@pytest.mark.parametrize(("size", "words"), [(np.nan, "must be finite"), (2.5, "must be an integer, not 2.5")])
def test_an_input_of_no_size(size, words):
    made = graph({"fc": nir.Linear(np.ones((2, 4))), "lif": lif(2)}, shape=(size,))
    with pytest.raises(SpikeloomError, match=rf"^Node input \(Input\): shape {words}"):
        from_nir(made)


@pytest.mark.parametrize("name", ["steps", "input_high"])
def test_metadata_of_no_whole_number(name):
    made = graph({**FC, "lif": lif(2)}, metadata={name: 2.5})
    with pytest.raises(SpikeloomError, match=f"^Metadata {name} must be an integer, not 2.5"):
        from_nir(made)


def test_a_late_reset_needs_a_memory():
    made = graph({**FC, "lif": lif(2, keep=0.0)}, metadata={"dt": DT, "reset": "subtract", "reset_delay": 1})
    with pytest.raises(UnsupportedError, match=r"Node lif \(LIF\) forgets its membrane within a step"):
        from_nir(made)


def test_too_many_ways_are_refused():
    nodes, edges, last = {}, [], ["input"]
    for level in range(8):
        names = [f"s{level}_{index}" for index in range(2)]
        nodes |= {name: nir.Scale(ones(4)) for name in names}
        edges += [(source, name) for source in last for name in names]
        last = names
    nodes["lif"] = lif(4)
    edges += [(name, "lif") for name in last] + [("lif", "output")]
    with pytest.raises(UnsupportedError, match="must be reached in at most 64 ways"):
        from_nir(graph(nodes, edges))
