"""Sweep: what weights of every width reach, and the narrowest widths, layer by layer, within a loss of accuracy.

The search narrows one population after the other, the one with most weights first, as far as the accuracy allows while
the others stay as they are. It does so twice, from the narrowest and from the widest width that does for all, and takes
what needs least memory for the weights. It looks at the samples that it is given again and again: they must not be
test samples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .calibrate import bits_of
from .errors import NetworkError
from .ir import Network
from .measurement import Measurement, Memory, Runner, float_accuracy, measure, memory_of
from .model import FloatNetwork
from .quantize import quantize
from .report import compare_results
from .result import Result
from .rounding import Width, stored_bits
from .simulate import run_float

__all__ = ["Sweep", "Trial", "sweep"]

_LOOKED_AT = 100

Progress = Callable[[str, int, int], None]
Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One choice of widths.

    Parameters
    ----------
    widths : dict of str to int or str
        By population.
    measurement : Measurement
    memory : Memory
    flags : dict of str to tuple of str
        ``"silent"`` and ``"saturated"`` by population, where it is so: see :class:`quant.report.Firing`.
    warnings : tuple of str
        A sentence for each flag.
    network : Network
    """

    widths: Mapping[str, Width]
    measurement: Measurement
    memory: Memory
    flags: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...]
    network: Network = field(repr=False)

    @property
    def label(self) -> str:
        """The widths in words."""
        if len(set(self.widths.values())) == 1:
            return str(next(iter(self.widths.values())))
        return ", ".join(f"{name}={width}" for name, width in self.widths.items())

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "weight_bits": dict(self.widths),
            "weight_memory_bits": self.memory.weights,
            "membrane_memory_bits": self.memory.membranes,
            **self.measurement.as_dict(),
            "flags": {name: list(flags) for name, flags in self.flags.items()},
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What a sweep has found.

    Parameters
    ----------
    network : str
    float_accuracy : float
        Of the float network on the samples of the search, 0 to 1.
    within : float
        Loss of accuracy that is allowed, 0 to 1.
    uniform : tuple of Trial
        One width for all populations, the narrowest first.
    chosen : Trial
    met : bool
        Whether the chosen widths lose no more than that. If not, no widths tried did, and they are the best of all.
    tried : int
        Number of choices measured.
    """

    network: str
    float_accuracy: float
    within: float
    uniform: tuple[Trial, ...]
    chosen: Trial
    met: bool
    tried: int

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            **{name: getattr(self, name) for name in ("network", "float_accuracy", "within", "met", "tried")},
            "uniform": [trial.as_dict() for trial in self.uniform],
            "chosen": self.chosen.as_dict(),
        }


class _Search:
    def __init__(
        self,
        model: FloatNetwork,
        inputs: Array,
        labels: Array,
        run: Runner,
        progress: Progress,
        options: dict[str, Any],
    ):
        self.model, self.inputs, self.labels = model, inputs, labels
        self.run, self.progress, self.options = run, progress, options
        self.look = run_float(model, inputs[:_LOOKED_AT], dtype=np.float32)
        self.trials: dict[tuple[Width, ...], Trial] = {}

    def trial(self, widths: Mapping[str, Width]) -> Trial:
        """Quantize and measure, unless that has been done."""
        key = tuple(widths.values())
        if key not in self.trials:
            network, _ = quantize(self.model, weight_bits=widths, **self.options)
            measured = measure(network, self.inputs, self.labels, self.run)
            flags, warnings = self._looked_at(network)
            self.trials[key] = Trial(
                widths=dict(widths),
                measurement=measured,
                memory=memory_of(network),
                flags=flags,
                warnings=warnings,
                network=network,
            )
        return self.trials[key]

    def _looked_at(self, network: Network) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
        found: Result = self.run(network, self.inputs[:_LOOKED_AT], record=("membranes",))
        comparison = compare_results(network, self.look, found)
        return {item.name: item.flags for item in comparison.firing if item.flags}, comparison.warnings


def sweep(
    model: FloatNetwork,
    inputs: Array,
    labels: Array,
    *,
    run: Runner,
    calibration: Array | None = None,
    bits: Sequence[Width] = (2, 3, 4, 6, 8),
    within: float = 0.005,
    progress: Progress = lambda stage, done, total: None,
    **options: Any,
) -> Sweep:
    """Measure every width, and search the narrowest for each population.

    Parameters
    ----------
    model : FloatNetwork
        Scales that training has chosen would hold for one width alone, and are not used.
    inputs, labels : arrays
        Samples to search with, none of them test samples.
    run : Runner
        What runs an integer network: :func:`sim.golden.run`.
    calibration : array of int, optional
        Samples to calibrate on: the ``inputs`` of :func:`quant.quantize.quantize`.
    bits : sequence of int or str
        Widths, as of :func:`quant.quantize.quantize`.
    within : float
        Loss of accuracy that is allowed, 0 to 1.
    progress : callable
        Called with a stage, how much of it is done, and of how much.
    **options
        Further options of :func:`quant.quantize.quantize`.

    Raises
    ------
    NetworkError
        If a width or the loss is out of range, or the network cannot be rounded.
    """
    if not 0 <= within < 1:
        raise NetworkError(f"Loss must be at least 0 and less than 100 points, not {100 * within:g}")
    if not bits:
        raise NetworkError("Widths must be at least one")
    widths = sorted(set(bits), key=_order)
    for width in widths:
        bits_of(model, width)
    search = _Search(replace(model, scales={}), inputs, labels, run, progress, {**options, "inputs": calibration})
    stage = "Running the float network"
    reference = float_accuracy(model, inputs, labels, progress=lambda done, total: progress(stage, done, total))
    uniform = []
    for index, width in enumerate(widths):
        progress(f"Trying every width\nweights of {width} bits", index, len(widths))
        uniform.append(search.trial(dict.fromkeys(model.order, width)))
    progress("Trying every width", len(widths), len(widths))

    def allowed(trial: Trial) -> bool:
        return trial.measurement.accuracy >= reference - within - 1e-12

    fitting = [trial for trial in uniform if allowed(trial)]
    if not fitting:
        chosen = max(uniform, key=lambda trial: (trial.measurement.accuracy, -trial.memory.weights))
    else:
        narrowed = [_narrowed(search, start, widths, allowed) for start in (fitting[0], fitting[-1])]
        chosen = min([*fitting, *narrowed], key=lambda trial: (trial.memory.weights, -trial.measurement.accuracy))
    return Sweep(
        network=model.name,
        float_accuracy=reference,
        within=within,
        uniform=tuple(uniform),
        chosen=chosen,
        met=bool(fitting),
        tried=len(search.trials),
    )


def _narrowed(search: _Search, start: Trial, widths: Sequence[Width], allowed: Callable[[Trial], bool]) -> Trial:
    """``start`` with the widths of one population after the other narrowed as far as is allowed."""
    model, best = search.model, start
    sizes = {name: sum(item.weights.size for item in model.incoming(name)) for name in model.order}
    by_size = sorted(model.order, key=lambda name: -sizes[name])
    for index, name in enumerate(by_size):
        for width in reversed(widths[: widths.index(best.widths[name])]):
            search.progress(f"Narrowing layer by layer\n{name} to {width} bits", index, len(by_size))
            trial = search.trial({**best.widths, name: width})
            if not allowed(trial):
                break
            best = trial
    search.progress("Narrowing layer by layer", len(by_size), len(by_size))
    return best


def _order(width: Width) -> tuple[int, bool]:
    """Ternary weights are narrower than those of 2 bits, which take as much memory and hold one value more."""
    return stored_bits(width), isinstance(width, int)
