"""Costs: logic cells of a bit of each part of a design, fitted to what synthesis and packing made of many designs.

A logic cell is a table of four inputs, with its register and its carry where they share a cell; as nextpnr counts them.
``python -m benchmarks estimate_logic_error`` measures how far off estimates are that are made of these.
"""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["COSTS"]

#: By family and part; what the parts are, :mod:`boards.estimate` says.
COSTS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "ice40": MappingProxyType(
            {
                "link": 764,
                "core": 34,
                "counter_bits": 1.535,
                "control_bits": 0.934,
                "serial_bits": 3,
                "sum_bits": 0.565,
                "chosen_bits": 0.045,
                "kept_bits": 1.002,
                "forwarded_bits": 1.141,
                "neuron_bits": 0.885,
                "product_bits": 2.133,
                "table_bits": 0.096,
                "ram_bits": 1.841,
                "rom_bits": 0.158,
                "encoder_bits": 4.992,
            }
        ),
        "ecp5": MappingProxyType(
            {
                "link": 691,
                "core": 68,
                "counter_bits": 1.993,
                "control_bits": 0.512,
                "serial_bits": 3.367,
                "sum_bits": 1.982,
                "chosen_bits": 1.228,
                "kept_bits": 0.324,
                "forwarded_bits": 0.549,
                "neuron_bits": 0.625,
                "product_bits": 1.2,
                "table_bits": 0.105,
                "ram_bits": 1.238,
                "rom_bits": 0.056,
                "encoder_bits": 5.242,
                "tables": 4.149,
            }
        ),
    }
)
