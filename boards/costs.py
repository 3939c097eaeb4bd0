"""Costs: logic cells of a bit of each part of a design, fitted to what synthesis and packing made of many designs.

A logic cell is a table of four inputs, with its register and its carry where they share a cell; as nextpnr counts them.
``python -m benchmarks.estimate`` measures how far off estimates are that are made of these.
"""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["COSTS"]

#: By family and part; what the parts are, :mod:`boards.estimate` says.
COSTS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "ice40": MappingProxyType(
            {
                "link": 930,
                "core": 44,
                "counter_bits": 1.975,
                "control_bits": 0.857,
                "serial_bits": 1.273,
                "sum_bits": 0.557,
                "chosen_bits": 0.378,
                "kept_bits": 1.461,
                "forwarded_bits": 0.693,
                "neuron_bits": 0.736,
                "product_bits": 1.566,
                "table_bits": 0.075,
                "ram_bits": 1.99,
                "rom_bits": 0.033,
                "encoder_bits": 4.766,
            }
        ),
        "ecp5": MappingProxyType(
            {
                "link": 695,
                "core": 80,
                "counter_bits": 1.996,
                "control_bits": 0.441,
                "serial_bits": 3.885,
                "sum_bits": 2.169,
                "chosen_bits": 0.957,
                "kept_bits": 0.221,
                "forwarded_bits": 0.726,
                "neuron_bits": 0.6,
                "product_bits": 1.2,
                "table_bits": 0.104,
                "ram_bits": 1.468,
                "rom_bits": 0.039,
                "encoder_bits": 4.745,
                "tables": 5.356,
            }
        ),
    }
)
