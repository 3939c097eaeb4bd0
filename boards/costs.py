"""Costs: logic cells of a bit of each part of a design, fitted to what synthesis and packing made of many designs.

A logic cell is a table of four inputs, with its register and its carry where they share a cell; as nextpnr counts them.
``python -m benchmarks.fit`` fits them; ``python -m benchmarks estimate_logic_error`` says how far off estimates are.
"""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["COSTS"]

#: By family and part; what the parts are, :mod:`boards.estimate` says.
COSTS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "ice40": MappingProxyType(
            {
                "link": 357,
                "core": 33.813,
                "counter_bits": 1.443,
                "control_bits": 1.942,
                "serial_bits": 4.044,
                "sum_bits": 1.216,
                "chosen_bits": 0.049,
                "kept_bits": 1.101,
                "forwarded_bits": 1.378,
                "neuron_bits": 0.962,
                "product_bits": 2.024,
                "table_bits": 0.106,
                "ram_bits": 1.889,
                "rom_bits": 0.041,
                "encoder_bits": 4.992,
                "groups": 10.8,
            }
        ),
        "ecp5": MappingProxyType(
            {
                "link": 614,
                "core": 61.202,
                "counter_bits": 2.246,
                "control_bits": 1.029,
                "serial_bits": 3.943,
                "sum_bits": 0.856,
                "chosen_bits": 0.558,
                "kept_bits": 0,
                "forwarded_bits": 0.201,
                "neuron_bits": 1.109,
                "product_bits": 1.2,
                "table_bits": 0.107,
                "ram_bits": 0.806,
                "rom_bits": 0.012,
                "encoder_bits": 5.242,
                "groups": 10.8,
                "tables": 5.133,
            }
        ),
    }
)
