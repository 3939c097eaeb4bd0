"""Source: what the argument MODEL of the command line names."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from quant import importers
from quant.errors import SpikeloomError
from quant.file import content_of, load_network
from quant.importers.options import ImportOptions
from quant.ir import Network
from quant.model import FloatNetwork, load_model
from snn.recipes import RECIPES, Recipe

__all__ = ["CHECKPOINTS", "NETWORK_FILE", "Source", "UsageError", "checkpoint", "find_source", "imports"]

#: Folder of the checkpoints that come with the package.
CHECKPOINTS = Path(__file__).resolve().parent.parent / "snn" / "checkpoints"

NETWORK_FILE = "network.npz"
_FOREIGN = {
    ".pt": "PyTorch",
    ".pth": "PyTorch",
    ".h5": "HDF5",
    ".hdf5": "HDF5",
    ".onnx": "ONNX",
    ".safetensors": "safetensors",
}


#: What the user has said of a network of another tool: options, and the file of its weights.
_IMPORTS: ContextVar[tuple[ImportOptions | None, Path | None]] = ContextVar("imports", default=(None, None))


class UsageError(SpikeloomError, ValueError):
    """An argument that cannot be what it is."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """A network as the user has named it: a recipe, a float network, or an integer network.

    Parameters
    ----------
    argument : str
        As the user wrote it.
    folder : Path
        Where what is made of it goes, unless the user wants it elsewhere.
    model : FloatNetwork or None
        What is quantized; of a recipe, the checkpoint on the grid of the integers.
    network : Network or None
        The integer network, if the file holds one.
    reference_path : Path or None
        File of the float network that accuracies are compared with.
    """

    argument: str
    folder: Path
    model: FloatNetwork | None = None
    network: Network | None = None
    reference_path: Path | None = None

    @property
    def named(self) -> FloatNetwork | Network:
        """What the file holds."""
        found = self.model or self.network
        assert found is not None
        return found

    @cached_property
    def reference(self) -> FloatNetwork | None:
        """The float network that accuracies are compared with; of a network of another tool, itself."""
        return self.model if self.reference_path is None else load_model(self.reference_path)


@contextmanager
def imports(options: ImportOptions | None, weights: Path | None = None) -> Iterator[None]:
    """Within: what :func:`find_source` is told of networks of other tools."""
    token = _IMPORTS.set((options, weights))
    try:
        yield
    finally:
        _IMPORTS.reset(token)


def find_source(argument: str, *, root: Path = Path("build")) -> Source:
    """What ``argument`` names; its folder is below ``root``, or that of a ``network.npz``.

    Raises
    ------
    UsageError
        If there is neither such a recipe nor such a file, or an option does not go with it.
    FileError
        If the file is not a network, or not a whole one.
    UnsupportedError
        If a network of another tool cannot be kept as it is.
    """
    path, (options, weights) = Path(argument), _IMPORTS.get()
    if path.suffix == ".nir" or importers.is_python(argument):
        model = importers.load(argument, options, weights=weights)
        return Source(argument=argument, folder=root / model.name, model=model)
    if options is not None or weights is not None:
        raise UsageError(
            f"Options of imported networks must go with a .nir file or package.module:factory, not with {argument}"
        )
    if argument in RECIPES:
        return _of_recipe(RECIPES[argument], root)
    if not path.exists():
        near = get_close_matches(argument, RECIPES, n=3) or list(RECIPES)[:4]
        raise UsageError(f"Model must be a file, or a recipe such as {', '.join(near)}, not {argument!r}")
    if path.suffix in _FOREIGN:
        way_out = "export it as a NIR file, or rebuild it with snn.layers and snn.neurons"
        if _FOREIGN[path.suffix] == "PyTorch":
            way_out = f"name the Python that builds its network: package.module:factory --weights {path}"
        raise UsageError(f"File {path} of {_FOREIGN[path.suffix]} does not say what the network is; {way_out}")
    if content_of(path) == "model":
        model = load_model(path)
        return Source(argument=argument, folder=root / _folder_name(model), model=model, reference_path=path)
    network = load_network(path)
    folder = path.parent if path.name == NETWORK_FILE else root / _folder_name(network)
    return Source(argument=argument, folder=folder, network=network)


def checkpoint(recipe: Recipe, *, integers: bool, folder: Path = CHECKPOINTS) -> Path:
    """File of a recipe's checkpoint in ``folder``: in real numbers, or on the grid of the integers."""
    return folder / (f"{recipe.name}-w{recipe.weight_bits}.npz" if integers else f"{recipe.name}.npz")


def _of_recipe(recipe: Recipe, root: Path) -> Source:
    paths = [checkpoint(recipe, integers=integers) for integers in (True, False)]
    if not all(path.is_file() for path in paths):
        name = checkpoint(recipe, integers=True, folder=root / recipe.name)
        raise UsageError(
            f"Recipe {recipe.name} comes without a checkpoint; `spikeloom train {recipe.name}` makes {name}"
        )
    return Source(argument=recipe.name, folder=root / recipe.name, model=load_model(paths[0]), reference_path=paths[1])


def _folder_name(found: FloatNetwork | Network) -> str:
    """Name of its recipe, if it has one, else its own."""
    recipe = found.metadata.get("recipe")
    return recipe if isinstance(recipe, str) and recipe in RECIPES else found.name
