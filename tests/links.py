"""What the tests of the link share: a network that is quick to simulate, and what its board tells."""

import struct

import numpy as np

from boards.link import Link
from boards.messages import BoardInfo
from hw.link import LinkSpec
from hw.plan import plan_network
from quant.ir import Connection, Input, Network, Population, Readout
from quant.result import Result
from sim import golden

__all__ = ["HASH", "board_info", "same_as_golden", "small_network", "spec_of"]

HASH = bytes(range(16))


def board_info(spec: LinkSpec) -> BoardInfo:
    """What a board with this link tells, read without the host's own code."""
    _, digest, *numbers = struct.unpack("<B16sHHBBB?IIIiiIII8sI", spec.info())
    values = dict(zip(list(BoardInfo.__dataclass_fields__)[1:], numbers, strict=True))
    return BoardInfo(build_hash=digest.hex(), **values | {"shape": values["shape"].hex()})


def small_network(kind: str = "events", *, seed: int = 15, shape: tuple[int, ...] = (6,)) -> Network:
    """Inputs, six unless a ``shape`` says otherwise, five hidden neurons, three classes; three steps."""
    rng = np.random.default_rng(seed)
    sizes = (("first", 5, int(np.prod(shape))), ("second", 3, 5))
    return Network(
        name="small",
        steps=3,
        input=Input(shape=shape, kind=kind, low=0, high=1 if kind == "events" else 15),
        populations=tuple(
            Population(name=name, shape=(size,), threshold=6, reset="subtract", state_min=-20, state_max=20)
            for name, size, _ in sizes
        ),
        connections=tuple(
            Connection(
                source=source, target=name, kind="dense", weights=rng.integers(-8, 8, (size, fan)), weight_bits=4
            )
            for source, (name, size, fan) in zip(("input", "first"), sizes, strict=True)
        ),
        readout=Readout(population="second"),
    )


def spec_of(kind: str = "events") -> LinkSpec:
    """The link of that network's hardware."""
    return LinkSpec(plan=plan_network(small_network(kind)), build_hash=HASH)


def same_as_golden(link: Link, network: Network, inputs: np.ndarray) -> Result:
    """Samples through the link, each answer as the golden model's, whose result is given back."""
    result = golden.run(network, inputs)
    for index, sample in enumerate(inputs):
        answer = link.run(sample)
        assert answer.answer == result.answers[index]
        assert list(answer.scores) == list(result.scores[index])
        if network.readout.kind != "first_spike":  # fewer are counted once it has stopped
            assert list(answer.spikes) == [result.totals[name][index] for name in network.order]
    return result
