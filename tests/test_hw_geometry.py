from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from whole import Draws, random_connection, random_shape

from hw.geometry import Geometry
from hw.layout import Fields
from quant.ir import Connection
from quant.ops import apply


def walk(geometry, neuron):
    """Row, word and part of every operation of an event of a source neuron, in order."""
    columns, rows, _ = Fields(geometry.source).sizes
    place = neuron % columns, neuron // columns % rows, neuron // (columns * rows)
    of_x, of_y, of_c = geometry.tables
    entries = [(table, index) for table, index in zip((of_x, of_y, of_c), place, strict=True)]
    first_row, first_word = (sum(int(getattr(t, name)[i]) for t, i in entries) for name in ("row", "word"))
    operations = []
    for line in range(of_y.count[place[1]]):
        word = first_word + line * geometry.line_words
        for number in range(of_x.count[place[0]]):
            for step in range(geometry.span):
                row = first_row + line * geometry.line_rows + number * geometry.skip + step
                operations.append((row, word, int(of_c.group[place[2]])))
                word += geometry.stride
    return operations


def arrive(geometry, values):
    """What the operations of one step's events bring to every target, in C order."""
    tiling, lane = geometry.rows, np.arange(geometry.lanes)
    sums = np.zeros((tiling.words, geometry.lanes), np.int64)
    seen = np.zeros_like(sums, bool)
    for neuron in np.flatnonzero(values):
        for row, word, group in walk(geometry, neuron):
            reached = lane // geometry.width == group
            operand = np.where(reached, geometry.words[word][lane % geometry.width], 0)
            if geometry.connection.kind == "max_pool":
                sums[row] += np.where(seen[row], 0, operand)
                seen[row] |= reached
            else:
                sums[row] += operand * values[neuron]
    targets = np.zeros(prod(geometry.target), np.int64)
    targets[tiling.neurons[tiling.neurons >= 0]] = sums[tiling.neurons >= 0]
    return targets


def connection(kind, weights, **fields):
    return Connection(source="input", target="a", kind=kind, weights=np.asarray(weights), weight_bits=8, **fields)


def geometry(made, source, lanes, *, target=None):
    return Geometry(connection=made, source=source, target=target or made.target_shape(source), lanes=lanes)


@st.composite
def geometries(draw, kinds=None):
    """Any connection, with any number of lanes; those of a plan among them."""
    draws = Draws(draw)
    source = random_shape(draws)
    made = random_connection(draws, "input", "a", source, binary=draw(st.booleans()))
    target = made.target_shape(source)
    lanes = draw(st.integers(1, target[0]) | st.sampled_from([1, 2, 4, 8, 16]))
    if made.kind == "dense" and draw(st.booleans()):
        # A dense connection may lead to a map.
        target = (target[0], 1, 1) if target[0] % 2 else (target[0] // 2, 2, 1)
    return geometry(made, source, lanes, target=target)


@given(geometries(), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=150)
def test_operations_of_events_are_the_connection(made, seed):
    rng = np.random.default_rng(seed)
    values = (rng.random(prod(made.source)) < 0.6) * rng.integers(-3, 4, prod(made.source))
    if made.connection.kind == "max_pool":
        values = values > 0
    np.testing.assert_array_equal(arrive(made, values), apply(made.connection, made.source, values[np.newaxis])[0])


@pytest.mark.parametrize("seed", range(40))
def test_operations_of_events_are_the_connection_of_every_kind(seed):
    rng = np.random.default_rng(seed)
    for _ in range(15):
        source, binary = random_shape(rng), rng.random() < 0.5
        made = random_connection(rng, "input", "a", source, binary=binary)
        one = geometry(made, source, int(rng.choice([rng.integers(1, made.target_shape(source)[0] + 1), 4, 16])))
        values = rng.integers(0, 2, prod(source)) if binary else rng.integers(-2, 3, prod(source))
        np.testing.assert_array_equal(arrive(one, values), apply(made, source, values[np.newaxis])[0])


@given(geometries())
@settings(deadline=None, max_examples=100)
def test_rows_and_words_are_there_and_counted(made):
    assert made.depth == len(made.words)
    for neuron in range(prod(made.source)):
        operations = walk(made, neuron)
        assert len(operations) == made.operations[neuron]
        for row, word, group in operations:
            assert 0 <= row < made.rows.words
            assert 0 <= word < len(made.words)
            assert 0 <= group < made.parts
        rows = [row for row, _, _ in operations]
        assert len(set(rows)) == len(rows), "an event comes to a row once"
    for table in made.tables:
        assert min(table.row.min(), table.word.min(), table.count.min(), table.group.min()) >= 0


@given(geometries())
@settings(deadline=None, max_examples=100)
def test_useful_are_the_synapses_of_each_neuron(made):
    ones = replace(made.connection, weights=np.ones_like(made.connection.weights))
    events = np.eye(prod(made.source), dtype=np.int64)
    synapses = apply(ones, made.source, events).sum(axis=1)
    np.testing.assert_array_equal(made.useful, synapses)
    assert (made.useful <= made.operations * made.lanes).all()
    assert ((made.useful > 0) == (made.operations > 0)).all()


def rows_of(made):
    return [[row for row, _, _ in walk(made, neuron)] for neuron in range(prod(made.source))]


def test_a_dense_event_reads_a_row_of_every_word_of_targets():
    made = geometry(connection("dense", np.arange(15).reshape(5, 3) - 7), (3,), 2)
    assert (made.span, made.stride, made.width, made.parts) == (3, 3, 2, 1)
    assert walk(made, 1) == [(0, 1, 0), (1, 4, 0), (2, 7, 0)]
    # Of input 1: weights of neurons 0 to 4, and a lane of none.
    assert made.words[[1, 4, 7]].tolist() == [[-6, -3], [0, 3], [6, 0]]
    assert made.words[[0, 3, 6]].tolist() == [[-7, -4], [-1, 2], [5, 0]]


def test_rows_of_a_dense_connection_to_a_map_are_places():
    """Targets (2, 1, 2): a row is a place with its two channels, so C order is turned."""
    made = geometry(connection("dense", [[1, 0], [2, 0], [3, 0], [4, 0]]), (2,), 2, target=(2, 1, 2))
    assert [made.words[word].tolist() for _, word, _ in walk(made, 0)] == [[1, 3], [2, 4]]


def test_taps_of_a_convolution_lie_as_the_places_that_they_reach():
    """One row of 4, kernel 3, padding 1: the event at 0 reaches places 0 and 1 by the taps 1 and 0."""
    made = geometry(connection("conv2d", [[[[10, 11, 12]]]], padding=(0, 1)), (1, 1, 4), 1)
    assert rows_of(made) == [[0, 1], [0, 1, 2], [1, 2, 3], [2, 3]]
    read = [[int(made.words[word, 0]) for _, word, _ in walk(made, neuron)] for neuron in range(4)]
    assert read == [[11, 10], [12, 11, 10], [12, 11, 10], [12, 11]]


def test_a_stride_reads_every_other_tap():
    """Kernel 3, stride 2 without padding: place p hears 2p, 2p + 1, 2p + 2; the event at 5 is heard by nobody."""
    made = geometry(connection("conv2d", [[[[10, 11, 12]]]], stride=(1, 2)), (1, 1, 6), 1)
    assert rows_of(made) == [[0], [0], [0, 1], [1], [1], []]
    read = [[int(made.words[word, 0]) for _, word, _ in walk(made, neuron)] for neuron in range(6)]
    assert read == [[10], [11], [12, 10], [11], [12], []]
    assert made.operations.tolist() == [1, 1, 2, 1, 1, 0]


def test_a_stride_beyond_the_kernel_skips_events():
    made = geometry(connection("conv2d", [[[[10]]]], stride=(1, 3)), (1, 1, 7), 1)
    assert rows_of(made) == [[0], [], [], [1], [], [], [2]]


def test_channels_of_a_place_are_rows_side_by_side():
    """Five channels on two lanes are three rows a place; a 2 x 2 kernel is two lines of two places."""
    weights = np.arange(5 * 1 * 2 * 2).reshape(5, 1, 2, 2)
    made = geometry(connection("conv2d", weights), (1, 3, 3), 2)
    assert (made.span, made.skip, made.line_rows, made.line_words) == (3, 3, 6, 6)
    # The event in the middle reaches all four places, by the taps from the last to the first.
    rows, words, _ = zip(*walk(made, 4), strict=True)
    assert rows == (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
    read = [made.words[word].tolist() for word in words]
    assert read[:3] == [[3, 7], [11, 15], [19, 0]]
    assert read[9:] == [[0, 4], [8, 12], [16, 0]]


def test_a_transposed_convolution_reaches_the_places_of_its_kernel():
    made = geometry(
        connection("conv_transpose2d", [[[[10, 11, 12]]]], stride=(1, 2), padding=(0, 1), output_padding=(0, 1)),
        (1, 1, 2),
        1,
    )
    assert made.target == (1, 1, 4)
    assert rows_of(made) == [[0, 1], [1, 2, 3]]
    read = [[int(made.words[word, 0]) for _, word, _ in walk(made, neuron)] for neuron in range(2)]
    assert read == [[11, 12], [10, 11, 12]]


@pytest.mark.parametrize(
    ("lanes", "width", "parts", "rows", "groups"),
    [
        # Groups of 2 channels on 4 lanes: two share a row. On 2 lanes: a row each. On 1: two rows each.
        (4, 2, 2, [[0], [0], [1], [1]], [0, 1, 0, 1]),
        (2, 2, 1, [[0], [1], [2], [3]], [0, 0, 0, 0]),
        (1, 1, 1, [[0, 1], [2, 3], [4, 5], [6, 7]], [0, 0, 0, 0]),
        (8, 2, 4, [[0], [0], [0], [0]], [0, 1, 2, 3]),
    ],
)
def test_groups_are_parts_of_rows(lanes, width, parts, rows, groups):
    made = geometry(connection("conv2d", np.arange(8).reshape(8, 1, 1, 1), groups=4), (4, 1, 1), lanes)
    assert (made.width, made.parts) == (width, parts)
    assert rows_of(made) == rows
    assert [walk(made, neuron)[0][2] for neuron in range(4)] == groups


def test_groups_that_fit_no_row_are_kept_as_one_with_zeros():
    """Groups of 2 on 3 lanes: a row of one would hold the half of another."""
    made = geometry(connection("conv2d", np.arange(1, 7).reshape(6, 1, 1, 1), groups=3), (3, 1, 1), 3)
    assert (made.width, made.parts, made.span) == (3, 1, 2)
    assert rows_of(made) == [[0, 1]] * 3
    assert made.words.tolist() == [[1, 2, 0], [0, 0, 0], [0, 0, 3], [4, 0, 0], [0, 0, 0], [0, 5, 6]]
    assert (made.operations.tolist(), made.useful.tolist()) == ([2, 2, 2], [2, 2, 2])


def test_pooling_puts_events_together_and_leaves_out_the_rest():
    made = geometry(connection("conv2d", [[[[10]]]], pool=(1, 2)), (1, 1, 5), 1)
    assert rows_of(made) == [[0], [0], [1], [1], []]
    dense = geometry(connection("dense", [[10, 20]], pool=(2, 2)), (1, 3, 4), 1)
    assert [[word for _, word, _ in walk(dense, neuron)] for neuron in range(12)] == [
        *([0], [0], [1], [1]),
        *([0], [0], [1], [1]),
        *([], [], [], []),
    ]


@pytest.mark.parametrize(
    ("weights", "words"), [(7, [0, 0, 0, 0]), ([7, 8], [0, 0, 1, 1]), ([[[1, 2]], [[3, 4]]], [0, 1, 2, 3])]
)
def test_an_identity_has_a_word_of_one_weight_for_all_for_a_channel_or_for_a_neuron(weights, words):
    made = geometry(connection("identity", weights), (2, 1, 2), 2)
    assert (made.width, made.parts) == (1, 2)
    assert rows_of(made) == [[0], [1], [0], [1]]
    assert [walk(made, neuron)[0][1:] for neuron in range(4)] == list(zip(words, [0, 0, 1, 1], strict=True))
    assert made.words.tolist() == [[value] for value in np.ravel(weights)]


def test_max_pooling_reaches_every_window_that_holds_the_event():
    """Windows of 2 in steps of 1 over one row of 3, padding 1."""
    made = geometry(connection("max_pool", 5, kernel=(1, 2), stride=(1, 1), padding=(0, 1)), (1, 1, 3), 1)
    assert rows_of(made) == [[0, 1], [1, 2], [2, 3]]
    assert made.words.tolist() == [[5]]
