"""Networks on chips: what place and route made of them, clocks as the median of several seeds."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np

from boards.activity import assumed, measured
from boards.board import find_board
from boards.build import BuildReport, build, plan_build
from boards.planner import Choice, choose
from hw.design import Design
from quant.ir import Decay, Network
from sim import golden

from . import networks
from .proofs import recipe
from .table import Measurement

__all__ = ["conv", "dense", "mnist_up5k", "small", "sparse", "ttfs"]

SEEDS = (1, 2, 3)
_ECP5, _UP5K = "ulx3s-85f", "icebreaker"


def dense() -> Iterator[Measurement]:
    """784-128-10, 128 lanes, on the large ECP5."""
    choice = _given(networks.dense(), _ECP5, lanes={"layer0": 128, "layer1": 10})
    reports = _routed(choice, clock_hz=110e6)
    used = reports[0].resources
    yield _clock("fmax_ecp5_mhz", reports, "784-128-10, 128 lanes, LFE5U-85F-6; bar 100")
    yield Measurement(
        id="lut4_ecp5",
        value=used["logic_cells"]["used"],
        unit="LUT4",
        peer=f"Spiker+ 6,301 LUT6; with the serial link, {used['flip_flops']['used']:,} registers and "
        f"{used['block_rams']['used']} block RAMs",
        command="python -m benchmarks lut4_ecp5",
    )


def small() -> Iterator[Measurement]:
    """64-32-10 on the UP5K, its leak a shift as Spiker+ has it."""
    network = networks.dense((64, 32, 10), decay=Decay(numerator=15, shift=4))
    choice = _given(network, _UP5K, lanes={"layer0": 4, "layer1": 2}, units=1)
    reports = _routed(choice, clock_hz=30e6)
    cycles = _cycles(choice, networks.events(network, 16, 0.1))
    yield Measurement(
        id="cells_up5k",
        value=reports[0].resources["logic_cells"]["used"],
        unit="logic cells",
        peer=f"Spiker+ 4,795, and 2,617 cycles; with the serial link; {cycles:,.0f} cycles at 10 % density",
        command="python -m benchmarks cells_up5k",
    )
    yield _clock("fmax_up5k_mhz", reports, "64-32-10 on iCE40UP5K; Spiker+ 40; bar 30")


def mnist_up5k() -> Iterator[Measurement]:
    """784-128-10 on the UP5K, its weights in SPRAM."""
    network = networks.dense(decay=Decay(numerator=15, shift=4))
    lanes, units = {"layer0": 16, "layer1": 5}, {"layer0": 4, "layer1": 1}
    choice = _given(network, _UP5K, lanes=lanes, units=units, storage={"layer0": "spram"})
    cycles = _cycles(choice, networks.events(network, 16, 0.1))
    reports = _routed(choice, clock_hz=24e6)
    used = reports[0].resources
    yield Measurement(
        id="cycles_mnist_up5k",
        value=cycles,
        unit="cycles a sample",
        peer=f"SYNtzulu does 8 synaptic operations a cycle, this 16; {used['logic_cells']['used']:,} logic cells, "
        f"{used['block_rams']['used']} block RAMs, {used['sprams']['used']} SPRAMs; 10 % density, 25 steps",
        command="python -m benchmarks cycles_mnist_up5k",
    )
    yield _clock("fmax_mnist_up5k_mhz", reports, "bar 24")


def conv() -> Iterator[Measurement]:
    """A convolutional network of KLIF neurons, trained, on the large ECP5, as the planner has it."""
    network, inputs = recipe("mnist-small-klif")
    board = find_board(_ECP5)
    choice = choose(network, board, measured(network, inputs[:100]))
    reports = _routed(choice, clock_hz=80e6)
    clock = median(report.fmax_mhz for report in reports)
    used = reports[0].resources
    yield Measurement(
        id="fps_conv_ecp5",
        value=round(clock * 1e6 / choice.interval, 1),
        unit="images/s",
        peer=f"FINN 12,300,000 on a large chip, of a network that does not spike and 95.8 % right; mnist-small-klif, "
        f"{choice.interval:,.0f} cycles between images, {choice.latency:,.0f} for one alone; "
        f"{used['logic_cells']['used']:,} LUT4, {used['block_rams']['used']} block RAMs",
        command="python -m benchmarks fps_conv_ecp5",
    )
    yield _clock("fmax_conv_ecp5_mhz", reports, "bar 80")


def ttfs() -> Iterator[Measurement]:
    """A convolutional network of one spike a neuron, stopped at the first output spike, and not."""
    network, inputs = recipe("mnist-ttfs")
    cycles: dict[bool, float] = {}
    for stops in (True, False):
        choice = choose(network, find_board(_ECP5), measured(network, inputs[:50], early_stop=stops), early_stop=stops)
        cycles[stops] = _cycles(choice, inputs[:5])
    for name, stops, what in (("decision", True, "stopped at the decision"), ("end", False, "all steps")):
        yield Measurement(
            id=f"cycles_ttfs_{name}",
            value=cycles[stops],
            unit="cycles a sample",
            peer=f"mnist-ttfs as planned for {_ECP5}, {what}; the other {cycles[not stops]:,.0f}",
            command=f"python -m benchmarks cycles_ttfs_{name}",
        )


def sparse() -> Iterator[Measurement]:
    """A map with few events as the planner has it, whose sweeps skip what rests, beside whole sweeps."""
    network = networks.sparse()
    spots = networks.spots(network, 20)
    seen = measured(network, spots)
    chosen, whole = (choose(network, find_board(_ECP5), seen, skips=skips) for skips in (None, False))
    names = ", ".join(name for name, skips in chosen.skips.items() if skips) or "no core"
    yield Measurement(
        id="cycles_sparse_skipping",
        value=_cycles(chosen, spots),
        unit="cycles a sample",
        peer=f"{_cycles(whole, spots):,.0f} with whole sweeps; those of {names} skip; 2x32x32 into 8x32x32 and 10, "
        f"{network.steps} steps, {spots.sum() / len(spots) / network.steps:.0f} events a step",
        command="python -m benchmarks cycles_sparse_skipping",
    )
    others = median(report.fmax_mhz for report in _routed(whole, clock_hz=60e6))
    yield _clock("fmax_sparse_skipping_mhz", _routed(chosen, clock_hz=60e6), f"{others:g} with whole sweeps")


def _given(network: Network, board: str, **options: Any) -> Choice:
    """A plan with sizes of ours instead of the planner's."""
    return choose(network, find_board(board), assumed(network), **options)


def _routed(choice: Choice, *, clock_hz: float) -> list[BuildReport]:
    """Builds of a plan, with several seeds of placement."""
    found = []
    for seed in SEEDS:
        plan = plan_build(choice.plan.network, choice.board, choice=choice, clock_hz=clock_hz, seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            found.append(build(plan, Path(folder)))
    return found


def _clock(name: str, reports: list[BuildReport], what: str) -> Measurement:
    found = sorted(report.fmax_mhz for report in reports)
    return Measurement(
        id=name,
        value=median(found),
        unit="MHz",
        peer=f"{what}; median of {', '.join(f'{value:g}' for value in found)}",
        command=f"python -m benchmarks {name}",
    )


def _cycles(choice: Choice, inputs: Any) -> float:
    """Mean cycles of samples alone, by the cycle model."""
    network = choice.plan.network
    result = golden.run(network, np.asarray(inputs), record=("spikes", "membranes", "currents"))
    return mean(Design(plan=choice.plan).predict(result, inputs).tolist())
