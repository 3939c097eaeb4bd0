"""All benchmarks: a table, and ``benchmarks/results.json``."""

import sys

from . import datapath, estimate, golden
from .table import RESULTS, Measurement, show, write


def _golden() -> list[Measurement]:
    found = golden.measure()
    what = f"golden model, {'-'.join(map(str, golden.SIZES))}, {golden.STEPS} steps, {golden.DENSITY:.0%} density"
    return [
        Measurement(
            id=f"{what}, batch {golden.BATCH}",
            value=found["golden_images_per_second"],
            unit="images/s",
            peer=f"snnTorch's forward pass {found['snntorch_images_per_second']:,.0f} images/s",
            command="make bench",
        ),
        Measurement(
            id="golden model over snnTorch's forward pass",
            value=found["ratio"],
            unit="times as fast",
            peer="1",
            command="make bench",
        ),
    ]


def main() -> None:
    """Run all."""
    print("Cycles of the datapath ...", file=sys.stderr)
    found = datapath.measurements()
    print("Speed of the golden model ...", file=sys.stderr)
    found += _golden()
    print("Estimates of resources, beside synthesis ...", file=sys.stderr)
    found += estimate.measurements()
    show(found)
    write(found)
    print(f"Written: {RESULTS}", file=sys.stderr)


if __name__ == "__main__":
    main()
