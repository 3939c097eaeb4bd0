"""Networks as papers write them: ``32C5s2-AP2-64C3-256``.

Layers stand in a row with ``-`` between them:

``nCk``
    Convolution to n channels with a k x k kernel, and its neurons. Then, as wanted, ``sS`` for a stride other than 1,
    ``pP`` for a zero padding other than k // 2, ``gG`` for groups.
``APk``, ``MPk``
    Average or maximum of windows of k x k spikes.
``n``
    n neurons, each of which sees all before it.

The output layer is not named: it has one neuron a class.
"""

import re
from dataclasses import dataclass

from quant.errors import SpikeloomError

__all__ = ["ArchitectureError", "Conv", "Dense", "Pool", "parse"]

_CONV = re.compile(
    r"(?P<channels>\d{1,4})C(?P<kernel>\d{1,2})(?:s(?P<stride>\d{1,2}))?(?:p(?P<padding>\d{1,2}))?(?:g(?P<groups>\d{1,4}))?"
)
_POOL = re.compile(r"(?P<kind>[AM])P(?P<kernel>\d{1,2})")
_DENSE = re.compile(r"\d{1,5}")


class ArchitectureError(SpikeloomError, ValueError):
    """A network that is not written as it should be."""


@dataclass(frozen=True, kw_only=True)
class Conv:
    """Convolution of square kernels, and its neurons."""

    channels: int
    kernel: int
    stride: int = 1
    padding: int
    groups: int = 1


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Windows of kernel x kernel spikes that do not overlap: their average, or their maximum."""

    kernel: int
    maximum: bool = False


@dataclass(frozen=True, kw_only=True)
class Dense:
    """So many neurons that see all before them."""

    neurons: int


def parse(text: str) -> tuple[Conv | Pool | Dense, ...]:
    """Layers of ``text``; none if it is empty.

    Raises
    ------
    ArchitectureError
        Naming the layer that is not written as above, or that cannot stand where it does.
    """
    layers: list[Conv | Pool | Dense] = []
    for word in filter(None, text.split("-")):
        layer = _layer(word)
        if isinstance(layer, (Conv, Pool)) and any(isinstance(before, Dense) for before in layers):
            raise ArchitectureError(f"Layer {word!r} of {text!r} must stand before the dense layers: it needs a map")
        layers.append(layer)
    return tuple(layers)


def _layer(word: str) -> Conv | Pool | Dense:
    layer: Conv | Pool | Dense | None = None
    if match := _CONV.fullmatch(word):
        sizes = {name: int(value) for name, value in match.groupdict().items() if value is not None}
        layer = Conv(**{"padding": sizes["kernel"] // 2, **sizes})
    elif match := _POOL.fullmatch(word):
        layer = Pool(kernel=int(match["kernel"]), maximum=match["kind"] == "M")
    elif _DENSE.fullmatch(word):
        layer = Dense(neurons=int(word))
    if layer is None or 0 in [value for name, value in vars(layer).items() if name not in ("padding", "maximum")]:
        raise ArchitectureError(f"Layer must be written as 32C5s2p2, AP2, MP2 or 128, not {word!r}")
    return layer
