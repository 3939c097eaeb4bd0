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
                "link": 488,
                "core": 35.433,
                "counter_bits": 1.593,
                "control_bits": 1.721,
                "serial_bits": 3.757,
                "sum_bits": 0.794,
                "chosen_bits": 0.047,
                "kept_bits": 1.103,
                "forwarded_bits": 1.414,
                "neuron_bits": 1.003,
                "product_bits": 2.248,
                "table_bits": 0.107,
                "ram_bits": 2.056,
                "rom_bits": 0.043,
                "encoder_bits": 4.992,
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
                "tables": 5.133,
            }
        ),
    }
)
