"""Benchmarks, all or those that are named: a table, and ``benchmarks/results.json``."""

import sys
from collections.abc import Callable, Iterable, Mapping

from quant.errors import SpikeloomError

from . import chips, datapath, estimate, golden, proofs
from .table import RESULTS, Measurement, merge, show

GROUPS: Mapping[str, tuple[Callable[[], Iterable[Measurement]], tuple[str, ...]]] = {
    "Cycles of the datapath": (
        datapath.measurements,
        ("cycles_dense_10pct", "cycles_dense_1pct", "sop_per_lane_cycle"),
    ),
    "Sweeps that skip what rests": (chips.sparse, ("cycles_sparse_skipping", "fmax_sparse_skipping_mhz")),
    "Speed of the golden model": (
        golden.measurements,
        tuple(f"golden_vs_snntorch_{case}" for case in golden.CASES),
    ),
    "784-128-10 on an ECP5": (chips.dense, ("fmax_ecp5_mhz", "lut4_ecp5")),
    "64-32-10 on a UP5K": (chips.small, ("cells_up5k", "fmax_up5k_mhz")),
    "784-128-10 on a UP5K": (chips.mnist_up5k, ("cycles_mnist_up5k", "fmax_mnist_up5k_mhz")),
    "A convolutional network on an ECP5": (chips.conv, ("fps_conv_ecp5", "fmax_conv_ecp5_mhz")),
    "Networks of one spike a neuron": (chips.ttfs, ("cycles_ttfs_decision", "cycles_ttfs_end")),
    "A feedback network, simulated": (proofs.feedback, ("mismatches_feedback",)),
    "A recurrent network, simulated": (proofs.recurrent, ("mismatches_recurrent",)),
    "All of MNIST, simulated": (proofs.mnist, ("mismatches_mnist_10k", "minutes_mnist_10k")),
    "Estimates of resources, beside synthesis": (
        estimate.measurements,
        ("estimate_logic_error", "estimate_block_ram_error"),
    ),
}
"""What makes measurements, and their ids, by what it is."""


def main(wanted: list[str]) -> None:
    """Run the groups that give the ids that are wanted, or all; write what they gave into the file."""
    known = [name for _, names in GROUPS.values() for name in names]
    for name in wanted:
        if name not in known:
            sys.exit(f"Benchmark must be one of {', '.join(known)}, not {name!r}")
    found: list[Measurement] = []
    missing = []
    for title, (measure, names) in GROUPS.items():
        if wanted and not set(wanted) & set(names):
            continue
        print(f"{title} ...", file=sys.stderr)
        try:
            found += measure()
        except SpikeloomError as error:
            missing.append(f"{title}: {error}")
            continue
        merge(found)
    show(found)
    print(f"Written: {RESULTS}", file=sys.stderr)
    if missing:
        sys.exit("Not measured:\n" + "\n".join(missing))


if __name__ == "__main__":
    main(sys.argv[1:])
