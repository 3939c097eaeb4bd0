"""Memories: what synthesis makes of them, by its own rule."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from types import MappingProxyType

from hw.port import BLOCK_RAMS

__all__ = ["Storage", "store"]


@dataclass(frozen=True, kw_only=True)
class Storage:
    """Where memories of a chip lie.

    Parameters
    ----------
    block_rams : int
    tables : int
        Tables of 16 words of 4 bits, of logic: distributed RAM.
    ram_bits, rom_bits : int
        Bits in registers with what chooses among them, and constants in logic.
    """

    block_rams: int = 0
    tables: int = 0
    ram_bits: int = 0
    rom_bits: int = 0


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """A kind of memory: what one costs, and a read port; its shapes as words, width and bits that are written alone."""

    cost: int
    read: int
    shapes: tuple[tuple[int, int, int], ...]


def _shapes(family: str, *, alone: tuple[int, ...]) -> tuple[tuple[int, int, int], ...]:
    """Of a block RAM, the narrowest first, with the bits that each writes alone."""
    shapes = reversed(BLOCK_RAMS[family].shapes)
    return tuple((words, bits, part) for (words, bits), part in zip(shapes, alone, strict=True))


# Of Yosys: techlibs/ice40/brams.txt, techlibs/lattice/brams_16kd.txt and lutrams_trellis.txt.
_BLOCKS: Mapping[str, _Kind] = MappingProxyType(
    {
        "ice40": _Kind(cost=64, read=6, shapes=_shapes("ice40", alone=(2, 4, 8, 1))),
        "ecp5": _Kind(cost=128, read=2, shapes=_shapes("ecp5", alone=(1, 2, 4, 9, 9, 9))),
    }
)
_TABLES: Mapping[str, _Kind] = MappingProxyType({"ecp5": _Kind(cost=4, read=2, shapes=((16, 4, 4),))})

# Costs of Yosys' memory_libmap: of a bit in logic, constant or not; of choosing among memories; of the logic beside a
# block RAM by which a word that is read while it is written is the one before.
_ROM, _RAM, _CHOICE, _BEFORE = 1 / 16, 1.0, 0.5, 6


def store(
    family: str, *, width: int, depth: int, written: bool, grain: int | None = None, before: bool = False
) -> Storage:
    """Where a memory lies: what is cheapest, as Yosys' ``memory_libmap`` counts.

    Parameters
    ----------
    family : str
        ``"ice40"`` or ``"ecp5"``.
    width, depth : int
        Bits of a word that are not the same in all words, and number of words.
    written : bool
        It has a write port, beside its read port.
    grain : int, optional
        Bits of a word that are written alone; default all.
    before : bool
        A word that is read while it is written must be the one before.
    """
    if not width or depth < 2:
        # A word alone is a register.
        return Storage(ram_bits=width if written else 0)
    bits = width * depth
    best, found = int(bits * (_RAM if written else _ROM)), Storage(**{"ram_bits" if written else "rom_bits": bits})
    kinds = [(_BLOCKS[family], "block_rams"), *([(_TABLES[family], "tables")] if written and family in _TABLES else [])]
    for kind, name in kinds:
        cost, number = _fit(kind, width, depth, written, grain or width)
        cost += _BEFORE if before and name == "block_rams" else 0
        if cost < best:
            best, found = int(cost), Storage(**{name: number})
    return found


def _fit(kind: _Kind, width: int, depth: int, written: bool, grain: int) -> tuple[float, int]:
    """Cost and number of memories of a kind, in its cheapest shape."""
    options = []
    for words, bits, alone in kind.shapes:
        step = alone if written else 1
        padded = width // grain * ceil(grain / step) * step + ceil(width % grain / step) * step
        deep = ceil(depth / words)
        number = ceil(deep * padded / bits)
        choices = (deep - 1) * width + (deep * ceil(width / grain) if written and deep > 1 else 0)
        options.append((int(kind.cost * number + _CHOICE * choices + kind.read), number))
    # Of equal costs the first, the narrowest.
    return min(options, key=lambda option: option[0])
