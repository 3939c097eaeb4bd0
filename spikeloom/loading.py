"""Loading: the weights of a network into a board that was built for others of the same shape."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boards.build import REPORT
from boards.link import Link
from boards.messages import BoardInfo
from quant.ir import Network

from .board import built_hash, steps_of
from .source import UsageError
from .workspace import Workspace

if TYPE_CHECKING:
    from hw.image import WeightImage

__all__ = ["LoadReport", "built_image", "check_built", "known_weights", "load_board"]

STEP = "load"


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What was loaded, and read back.

    Parameters
    ----------
    network, port : str
    build_hash : str
        What is on the board.
    bytes : int
        Of the weights.
    weights_crc : int
        Their checksum.
    """

    network: str
    port: str
    build_hash: str
    bytes: int
    weights_crc: int

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def built_image(network: Network, build: Path) -> "WeightImage":
    """Weights of a network as what was built takes them.

    Parameters
    ----------
    network : Network
    build : Path
        Folder of a build, of this network or another.

    Raises
    ------
    UsageError
        If that is no build, or of another shape: names the first thing that differs.
    """
    from hw.image import describe_shape, first_difference, weight_image
    from hw.plan import plan_network

    folder = build if build.is_dir() else build.parent
    try:
        report = json.loads((folder / REPORT).read_bytes())
        shape, options, named = report["shape"], dict(report["options"]), str(report["network"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"Folder {folder} must hold a build, with its {REPORT}") from None
    if shape is None:
        raise UsageError(f"Build in {folder} must be made with --reloadable or --spram so that weights can be loaded")
    # A core that this network has not is a difference, and no wrong option.
    cores = [core.name for core in plan_network(network).cores]
    for name, wanted in options.items():
        if isinstance(wanted, dict):
            options[name] = {core: value for core, value in wanted.items() if core in cores}
    try:
        plan = plan_network(network, **options)
    except TypeError:
        raise UsageError(
            f"Build in {folder} must name options of this version in its {REPORT}: build it again"
        ) from None
    difference = first_difference(json.loads(json.dumps(describe_shape(plan))), shape)
    if difference:
        raise UsageError(
            f"Network {network.name} must have the shape of {named}, which was built in {folder}, but for its weights; "
            f"{difference}: build it, too"
        )
    return weight_image(plan)


def load_board(
    image: "WeightImage", link: Link, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> LoadReport:
    """Load weights into a board; progress and errors are those of :meth:`boards.link.Link.load`."""
    link.load(image, progress=progress)
    info = link.info()
    return LoadReport(
        network=image.network,
        port=link.port,
        build_hash=info.build_hash,
        bytes=image.size,
        weights_crc=info.weights_crc,
    )


def check_built(network: Network, workspace: Workspace, board: str | None) -> None:
    """Refuse a board for which the network was neither built nor loaded; errors as of :func:`known_weights`."""
    if STEP not in steps_of(network, workspace):
        built_hash(network, workspace, board)


def known_weights(
    network: Network, workspace: Workspace, info: BoardInfo, board: str | None
) -> tuple[str | None, list[int]]:
    """Build hash and checksums of weights that a board with this network has, as far as the workspace knows.

    The build may be that of another network, into which this one was loaded.

    Raises
    ------
    UsageError
        If it was not built for ``board``.
    """
    steps = steps_of(network, workspace)
    loaded = steps.get(STEP, {})
    known = [values.get("weights_crc") for values in steps.values() if isinstance(values, dict)]
    weights = [int(crc) for crc in known if crc is not None]
    if loaded.get("build_hash") == info.build_hash:
        return info.build_hash, weights
    return built_hash(network, workspace, board), weights
