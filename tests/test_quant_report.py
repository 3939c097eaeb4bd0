import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from quant.calibrate import as_float
from quant.errors import NetworkError
from quant.ir import Connection, Decay, Input, Network, Population, Readout
from quant.quantize import quantize
from quant.report import compare_results, comparison_table, quantization_table
from quant.result import Result
from quant.simulate import run_float
from sim import golden

NETWORK = Network(
    name="net",
    steps=4,
    input=Input(shape=(2,)),
    populations=(
        Population(name="hidden", shape=(2,), threshold=2, state_min=-4, state_max=0),
        Population(name="out", shape=(2,), threshold=None, reset="none", state_min=0, state_max=7),
    ),
    connections=(
        Connection(source="input", target="hidden", kind="dense", weights=np.eye(2, dtype=int), weight_bits=4),
        Connection(source="hidden", target="out", kind="dense", weights=np.eye(2, dtype=int), weight_bits=4),
    ),
    readout=Readout(population="out", kind="membrane"),
)


def result(answers, counts, *, totals=None, membranes=None):
    counts = np.array(counts)
    return Result(
        answers=np.array(answers),
        scores=np.zeros((len(answers), 2)),
        counts={"hidden": counts, "out": np.zeros_like(counts)},
        totals={
            "input": np.zeros(len(answers), int),
            "hidden": np.abs(counts).sum(axis=1) if totals is None else np.array(totals),
            "out": np.zeros(len(answers), int),
        },
        spikes={},
        membranes={} if membranes is None else {"hidden": np.array(membranes)},
        currents={},
    )


def compared(float_counts, counts, **options):
    (firing,) = compare_results(NETWORK, result([0, 1], float_counts), result([0, 1], counts, **options)).firing
    return firing


def test_accuracies_and_agreement():
    zeros = np.zeros((4, 2), int)
    comparison = compare_results(
        NETWORK, result([0, 1, 1, 1], zeros), result([0, 1, 0, 0], zeros), np.array([0, 1, 1, 0])
    )
    assert comparison.samples == 4
    assert comparison.float_accuracy == 0.75
    assert comparison.accuracy == 0.75
    assert comparison.agreement == 0.5
    unlabelled = compare_results(NETWORK, result([0], zeros[:1]), result([0], zeros[:1]))
    assert (unlabelled.float_accuracy, unlabelled.accuracy) == (None, None)


def test_rates_are_per_neuron_and_step():
    firing = compared([[4, 0], [4, 4]], [[1, 0], [0, 2]])
    assert (firing.name, firing.float_rate, firing.rate) == ("hidden", 12 / 16, 3 / 16)
    shorter = compare_results(NETWORK, result([0], [[1, 1]]), result([0], [[1, 1]]), steps=2)
    assert shorter.firing[0].rate == 0.5


def test_totals_count_spikes_of_either_sign():
    assert compared([[1, 1], [1, 1]], [[0, 0], [0, 0]], totals=[8, 8]).rate == 1


def test_silent_neurons_are_those_that_never_fire():
    firing = compared([[4, 0], [4, 0]], [[0, 1], [1, 0]])
    assert (firing.float_silent, firing.silent) == (0.5, 0)


@pytest.mark.parametrize(
    ("float_counts", "counts", "flags"),
    [
        ([[4, 4], [4, 4]], [[0, 0], [0, 0]], ("silent",)),
        ([[0, 0], [0, 0]], [[0, 0], [0, 0]], ("silent",)),
        ([[4, 4], [2, 0]], [[1, 0], [0, 0]], ("silent",)),
        ([[4, 4], [1, 0]], [[1, 0], [0, 0]], ()),
        ([[4, 4], [4, 4]], [[4, 4], [4, 3]], ("saturated",)),
        ([[4, 4], [4, 4]], [[4, 4], [4, 2]], ()),
    ],
)
def test_silent_and_saturated_populations_are_flagged(float_counts, counts, flags):
    assert compared(float_counts, counts).flags == flags


def test_a_membrane_is_at_a_rail_only_where_the_rail_is_not_0():
    membranes = np.zeros((2, 4, 2))
    counts = [[2, 2], [2, 2]]
    assert compared(counts, counts).at_rail is None
    assert compared(counts, counts, membranes=membranes).at_rail == 0
    membranes[0, 0, 0] = -4
    falling = replace(NETWORK, populations=(replace(NETWORK["hidden"], bias=-1), NETWORK["out"]))
    (firing,) = compare_results(falling, result([0, 1], counts), result([0, 1], counts, membranes=membranes)).firing
    assert (firing.at_rail, firing.flags) == (1 / 16, ("saturated",))


def at_rail(membrane, **fields):
    """Share of the membranes at a rail when one of 16 is ``membrane``; a step adds 0 or 1, and the bias."""
    network = replace(NETWORK, populations=(replace(NETWORK["hidden"], **fields), NETWORK["out"]))
    membranes = np.zeros((2, 4, 2))
    membranes[1, 3, 1] = membrane
    counts = [[2, 2], [2, 2]]
    return (
        compare_results(network, result([0, 1], counts), result([0, 1], counts, membranes=membranes)).firing[0].at_rail
    )


def test_a_rail_counts_where_it_clips():
    assert at_rail(-4, bias=-1) == 1 / 16
    assert at_rail(-4, rectify=True) == 0
    assert at_rail(1, state_max=1) == 0
    assert at_rail(1, state_max=1, threshold=3) == 1 / 16
    assert at_rail(1, state_max=1, threshold=3, decay=Decay(numerator=1, shift=1)) == 0
    assert at_rail(0, state_max=0) == 0
    assert at_rail(0, state_min=0, bias=-1) == 0


def test_flags_become_sentences():
    comparison = compare_results(NETWORK, result([0], [[4, 4]]), result([0], [[0, 0]]))
    assert comparison.warnings == (
        "Population hidden has gone silent: 0.0000 spikes per neuron and step, the float network 1.0000",
    )
    membranes = np.full((1, 4, 2), -4)
    falling = replace(NETWORK, populations=(replace(NETWORK["hidden"], bias=-1), NETWORK["out"]))
    comparison = compare_results(falling, result([0], [[2, 2]]), result([0], [[2, 2]], membranes=membranes))
    assert comparison.warnings == (
        "Population hidden is saturated: 0.5000 spikes per neuron and step, the float network 0.5000; "
        "100.0% of its membranes are at a rail",
    )


@pytest.mark.parametrize(
    ("float_samples", "samples", "labels", "words"),
    [
        (2, 3, None, "as many float samples as integer samples, and at least 1, not 2 and 3"),
        (3, 3, 2, "as many labels as integer samples, and at least 1, not 2 and 3"),
        (0, 0, None, "as many float samples as integer samples, and at least 1, not 0 and 0"),
    ],
)
def test_results_of_different_samples_are_refused(float_samples, samples, labels, words):
    def of(count):
        return result(np.zeros(count, int), np.zeros((count, 2), int))

    with pytest.raises(NetworkError, match=f"^Comparison needs {words}$"):
        compare_results(NETWORK, of(float_samples), of(samples), None if labels is None else np.zeros(labels))


def printed(table):
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def whole():
    rng = np.random.default_rng(0)
    model = replace(as_float(NETWORK), scales={"hidden": [0.25, 0.125], "out": 0.5})
    inputs = rng.integers(0, 2, (5, 4, 2))
    network, report = quantize(model, weight_bits=8, inputs=inputs)
    comparison = compare_results(
        network, run_float(model, inputs), golden.run(network, inputs, record=("membranes",)), np.zeros(5, int)
    )
    return report, comparison


def test_reports_are_json():
    report, comparison = whole()
    loaded = json.loads(json.dumps(report.as_dict()))
    assert [item["name"] for item in loaded["populations"]] == ["hidden", "out"]
    assert loaded["warnings"] == []
    loaded = json.loads(json.dumps(comparison.as_dict()))
    assert loaded["agreement"] == 1
    assert [item["name"] for item in loaded["firing"]] == ["hidden"]


def test_tables_show_every_population_and_shout_flags():
    report, comparison = whole()
    text = printed(quantization_table(report))
    for words in ("hidden", "out", "8 bits", "8 to 16 (0.00%)", "none", "proven"):
        assert words in text
    text = printed(comparison_table(comparison))
    assert (
        f"5 samples: float {comparison.float_accuracy:.2%}, integer {comparison.accuracy:.2%}, agreement 100.00%"
        in text
    )
    silent = compare_results(NETWORK, result([0], [[4, 4]]), result([0], [[0, 0]]))
    text = printed(comparison_table(silent))
    assert "SILENT" in text
    assert "float -, integer -" in text
