from dataclasses import replace

import numpy as np
import pytest

from hw.image import describe_shape, first_difference, shape_digest, weight_image
from hw.plan import plan_network
from quant.errors import NetworkError
from quant.ir import Decay, Readout
from quant.ranges import Range
from tests.links import small_network

NETWORK = small_network()


def plan(network=NETWORK, **options):
    return plan_network(network, **{"storage": "ram", "lanes": 3, **options})


def altered(index, **changes):
    populations = list(NETWORK.populations)
    populations[index] = replace(populations[index], **changes)
    return replace(NETWORK, populations=tuple(populations))


def difference(other, **options):
    return first_difference(describe_shape(plan(other, **options)), describe_shape(plan()))


def test_words_as_the_memories_hold_them():
    image = weight_image(plan())
    for (size, words), port in zip(image.memories, plan().writable, strict=True):
        assert size == 2
        for row, word in zip(port.geometry.words, range(0, len(words), size), strict=True):
            number = int.from_bytes(words[word : word + size], "little")
            assert [(number >> 4 * lane & 15 ^ 8) - 8 for lane in range(len(row))] == row.tolist()


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
def test_pieces_are_whole_words_of_all_memories(size):
    image = weight_image(plan())
    found = [bytearray(len(words)) for _, words in image.memories]
    for place, words in image.pieces(size):
        assert len(words) % 2 == 0
        assert len(words) <= max(size, 2)
        at = 2 * int.from_bytes(place[1:], "little")
        found[place[0]][at : at + len(words)] = words
    assert found == [words for _, words in image.memories]
    assert image.size == sum(len(words) for words in found)


def test_other_weights_have_the_same_shape_and_another_checksum():
    here, there = (weight_image(plan(network)) for network in (NETWORK, replace(small_network(seed=16), name="other")))
    assert here.shape == there.shape
    assert here.crc != there.crc
    assert difference(small_network(seed=16)) is None


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (altered(1, threshold=7, reset_amount=6), "threshold of population second: 7, not 6"),
        (altered(0, reset_amount=5), "reset_amount of population first: 5, not 6"),
        (altered(0, bias=1), "bias of population first: 1, not 0"),
        (altered(0, state_max=21), "state_max of population first: 21, not 20"),
        (altered(0, decay=Decay(numerator=1, shift=1)), "numerator of the decay of population first: 1, not none"),
        (replace(NETWORK, steps=4), "steps: 4, not 3"),
        (replace(NETWORK, readout=Readout(population="second", kind="first_spike")), "early stop: True, not False"),
    ],
)
def test_the_first_difference_is_named(other, words):
    assert shape_digest(plan(other)) != shape_digest(plan())
    if "decay" not in words:
        assert difference(other) == words
    else:
        assert "decay of population first" in str(difference(other))


def test_lanes_and_storage_belong_to_the_shape():
    assert difference(NETWORK, lanes=5) == "lanes of first: 5, not 3" or "lanes" in difference(NETWORK, lanes=5)
    assert difference(NETWORK, storage="spram") == "storage of input -> first: spram, not ram"


def test_weights_that_cannot_be_loaded_belong_to_the_shape():
    storage = {"first": "ram"}
    other = small_network(seed=16)
    found = first_difference(describe_shape(plan(other, storage=storage)), describe_shape(plan(storage=storage)))
    assert found.startswith("weights of connection first -> second: array of (3, 5), ")
    assert len(weight_image(plan(storage=storage)).memories) == 1


def test_weights_of_a_linear_readout_can_be_loaded_too():
    def network(weights):
        return replace(NETWORK, readout=Readout(population="second", kind="linear", weights=np.array(weights)))

    here, there = plan(network([[1, 2, 3], [4, 5, 6]])), plan(network([[-9, 0, 1], [100, 0, -100]]))
    assert [port.weight_bits for port in here.cores[-1].ports] == [8]
    assert first_difference(describe_shape(here), describe_shape(there)) is None
    assert len(weight_image(here).memories) == 3
    alone = plan(network([[1, 2, 3], [4, 5, 6]]), storage={"scores": "ram"})
    assert [port.connection.target for port in alone.writable] == ["scores"]


def test_sums_hold_any_weights_of_their_width():
    """Six inputs of 0 or 1 and weights of 4 bits; of the network's own weights, less."""
    assert plan().cores[0].bounds.drive == Range(-48, 42)
    assert plan(storage="rom").cores[0].bounds == NETWORK.bounds("first")
    assert plan(storage="rom").cores[0].bounds.drive.high < 42
    full = replace(
        NETWORK, connections=tuple(replace(c, weights=np.full_like(c.weights, 7)) for c in NETWORK.connections)
    )
    assert plan(full).cores[0].bounds == plan().cores[0].bounds


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("flash", r"^Storage must be one of rom, ram, spram, not 'flash'$"),
        ({"third": "ram"}, r"^Storage must name one of first, second, not 'third'$"),
        ({"first": "flash"}, r"^Storage must be one of rom, ram, spram, not 'flash'$"),
    ],
)
def test_storage_that_there_is_not(storage, message):
    with pytest.raises(NetworkError, match=message):
        plan(storage=storage)


def test_sprams_are_counted():
    assert plan(storage="spram").sprams == 2
    assert plan(storage={"second": "spram"}, lanes=16).sprams == 1
    assert plan().sprams == 0
