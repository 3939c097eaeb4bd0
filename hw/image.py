"""Image of weights: what is loaded into a design that is already on a chip."""

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from quant.file import network_parts
from quant.ir import Network

from .arith import pack
from .plan import NetworkPlan
from .port import PortPlan

__all__ = ["SHAPE_BYTES", "WeightImage", "describe_shape", "first_difference", "shape_digest", "weight_image"]

SHAPE_BYTES = 8

Facts = Mapping[str, Any]
"""What must be the same of two networks so that one's weights fit the other's design: values by name."""


@dataclass(frozen=True, kw_only=True)
class WeightImage:
    """Weights of a network as a design takes them.

    Parameters
    ----------
    network : str
        Its name.
    shape : bytes
        Digest of what they fit, 8 bytes.
    memories : tuple of (int, bytes)
        Of each memory: the bytes of a word, and all its words.
    """

    network: str
    shape: bytes
    memories: tuple[tuple[int, bytes], ...]

    @property
    def size(self) -> int:
        """Bytes of all memories."""
        return sum(len(content) for _, content in self.memories)

    @property
    def crc(self) -> int:
        """CRC-32 of the shape, and of all words after it."""
        crc = zlib.crc32(self.shape)
        for _, content in self.memories:
            crc = zlib.crc32(content, crc)
        return crc

    def pieces(self, size: int) -> Iterator[tuple[bytes, bytes]]:
        """Pieces of about ``size`` bytes: the place of each, as :mod:`hw.loader` takes it, and its words."""
        for number, (word, content) in enumerate(self.memories):
            step = max(1, size // word) * word
            for at in range(0, len(content), step):
                yield bytes([number]) + (at // word).to_bytes(3, "little"), content[at : at + step]


def weight_image(plan: NetworkPlan) -> WeightImage:
    """Image of the weights that can be loaded of a plan."""
    return WeightImage(
        network=plan.network.name,
        shape=shape_digest(plan),
        memories=tuple((port.word_bytes, _content(port)) for port in plan.writable),
    )


def _content(port: PortPlan) -> bytes:
    return b"".join(pack(word, port.weight_bits).to_bytes(port.word_bytes, "little") for word in port.geometry.words)


def shape_digest(plan: NetworkPlan) -> bytes:
    """Digest of :func:`describe_shape`, 8 bytes."""
    return hashlib.sha256(json.dumps(describe_shape(plan), sort_keys=True).encode()).digest()[:SHAPE_BYTES]


def describe_shape(plan: NetworkPlan) -> dict[str, Any]:
    """Everything that cannot be loaded: the network without the weights that can, and how it is laid out.

    Arrays are shortened to a digest. The network's name and metadata are left out.
    """
    network = plan.network
    facts: dict[str, Any] = {"steps": network.steps, "early stop": plan.early_stop}
    facts |= _network_facts(network, {(port.source, port.connection.target) for port in plan.writable})
    if any(port.writable for core in plan.cores if core.name not in network.order for port in core.ports):
        del facts["weights of the readout"]
    for core in plan.cores:
        facts |= {f"lanes of {core.name}": core.lanes, f"neuron units of {core.name}": core.units}
        for port in core.ports:
            what = f"{port.source} -> {core.name}"
            facts |= {
                f"storage of {what}": port.storage,
                f"weight bits of {what}": port.weight_bits,
                f"words of {what}": port.words,
            }
    return facts


def first_difference(ours: Facts, theirs: Facts) -> str | None:
    """The first fact in which two shapes differ, in words; None if there is none."""
    for name in dict.fromkeys([*ours, *theirs]):
        here, there = ours.get(name), theirs.get(name)
        if here != there:
            return f"{name}: {_words(here)}, not {_words(there)}"
    return None


def _words(value: Any) -> str:
    return "none" if value is None else f"{value}"


def _network_facts(network: Network, loaded: set[tuple[str, str]]) -> dict[str, Any]:
    """Values of the network's header, by their place; without the weights of ``loaded`` connections."""
    header, arrays = network_parts(network)
    short = {key: f"array of {array.shape}, {_digest(array)}" for key, array in arrays.items()}
    facts: dict[str, Any] = {}
    for part in ("input", "readout"):
        facts |= _flat(header[part], f"of the {part}", short)
    for item in header["populations"]:
        facts |= _flat(item, f"of population {item['name']}", short)
    for item in header["connections"]:
        ends = item["source"], item["target"]
        where = f"of connection {ends[0]} -> {ends[1]}" + (" of the step before" if item["delay"] else "")
        facts |= _flat(
            {key: value for key, value in item.items() if key != "weights" or ends not in loaded}, where, short
        )
    return facts


def _flat(item: Mapping[str, Any], where: str, short: Mapping[str, str]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for key, value in item.items():
        if isinstance(value, dict) and set(value) == {"array"}:
            facts[f"{key} {where}"] = short[value["array"]]
        elif isinstance(value, dict):
            facts |= _flat(value, f"of the {key} {where}", short)
        else:
            facts[f"{key} {where}"] = value
    return facts


def _digest(array: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(array, "<i8").tobytes()).hexdigest()[:16]
