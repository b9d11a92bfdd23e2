"""The weights of a run in one small file, with the options that they were taught with.

    python main.py --action evaluate --load results/.../checkpoint.pt --export P-1h.safetensors
    python main.py --action evaluate --load P-1h.safetensors

The file is safetensors: a header in JSON, then the numbers. Its tensors are called
weights/METHOD/NAME, best/METHOD/NAME (of the best epoch, where that is kept instead), and
states/METHOD/LAYER (where the free phases of the test data start, of persistent networks). In its
header are `options` and `test_error`, both in JSON. Whatever needs a tensor imports late: the
command line reads the options alone.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from errors import RunError
from records.checkpoint import fits, read_checkpoint
from records.writing import write_whole
from systems import METHODS

SUFFIX = ".safetensors"
FORMAT = "learning without backpropagation 1"
KINDS = ("weights", "best", "states")
OF_A_PLACE = {"data_dir", "results_dir", "device_label", "load", "name", "note"}  # not of a network
OF_A_PLACE |= {"no_figures", "tensorboard"}
NO_PACKAGE = "needs the package safetensors: pip install safetensors"


def check_target(path: Path) -> None:
    """Raise RunError if weights cannot be written to a file of this name."""
    if path.suffix != SUFFIX:
        raise RunError(f"--export {path}: a file of weights has a name that ends in {SUFFIX}")
    if path.exists():
        raise RunError(f"--export {path} is there already: choose another name, or remove it")
    if not path.parent.is_dir():
        raise RunError(f"--export {path}: there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise RunError(f"--export {path}: cannot write in {path.parent}")


def write_export(
    path: Path, options: dict[str, Any], errors: dict[str, float], parts: dict[str, dict[str, Any]]
) -> None:
    """Write the weights of a run.

    Args:
        options: that the networks were evaluated with. errors: of the test, by method.
        parts: by kind and method the tensors, by name, or of states in the order of the layers.
    Raises:
        RunError: the package is missing, or the file cannot be written.
    """
    try:
        from safetensors.torch import save
    except ImportError:
        raise RunError(f"--export {NO_PACKAGE}") from None
    tensors = {}
    for kind, methods in parts.items():
        for method, named in methods.items():
            pairs = named.items() if isinstance(named, dict) else enumerate(named)
            for name, v in pairs:
                tensors[f"{kind}/{method}/{name}"] = v.detach().to("cpu", copy=True).contiguous()
    kept = {name: value for name, value in options.items() if name not in OF_A_PLACE}
    header = {"options": json.dumps(kept | {"action": "train"}), "test_error": json.dumps(errors)}
    write_whole(path, save(tensors, {"format": FORMAT, **header}))


def read_header(path: str | Path) -> dict[str, Any]:
    """The options in the header of a file of weights.

    Raises:
        RunError: no such file, not one of weights, or not of this program.
    """
    with opened(path, "np") as file:
        header = file.metadata() or {}
    if header.get("format") != FORMAT:
        raise RunError(f"{path} has no header of this program: it reads what --export has written")
    try:
        options = json.loads(header.get("options", ""))
    except ValueError:
        options = None
    plain = (str, bool, int, float, None)
    if not fits(options, {str: (*plain, [plain])}):
        raise RunError(f"{path} has a header without options: it is damaged")
    return options


def opened(path: str | Path, framework: str) -> Any:
    """A safetensors file, open for reading.

    Raises:
        RunError: no such file, or not one of this kind.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise RunError(f"{path} {NO_PACKAGE}") from None
    try:
        return safe_open(path, framework=framework)
    except FileNotFoundError:
        raise RunError(f"there is no file {path}") from None
    except (OSError, SafetensorError) as error:
        raise RunError(
            f"{path} cannot be read as a file of weights ({type(error).__name__}); it is damaged "
            "or was not written by --export"
        ) from None


def read_export(path: str | Path) -> dict[str, Any]:
    """What a file of weights holds, by the keys of a checkpoint: options, weights, best, particles.

    Raises:
        RunError: as of `read_header`, or it holds something else.
    """
    options = read_header(path)
    found: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in KINDS}
    with opened(path, "pt") as file:
        for key in file.keys():  # noqa: SIM118  (it is no dictionary)
            kind, _, rest = key.partition("/")
            method, _, name = rest.partition("/")
            if kind not in KINDS or not name or (kind == "states" and not name.isdigit()):
                raise RunError(f"{path} holds {key}, which is unknown")
            found[kind].setdefault(method, {})[name] = file.get_tensor(key)
    if not found["weights"] and not found["best"]:
        raise RunError(f"{path} holds no weights")
    for kind, methods in found.items():  # the file has them by the alphabet
        found[kind] = dict(sorted(methods.items(), key=place_of))
    states = found.pop("states")
    found["particles"] = {
        method: (None, [layers[name] for name in sorted(layers, key=int)])
        for method, layers in states.items()
    }
    return {"options": options, **found}


def place_of(item: tuple[str, Any]) -> int:
    """Where a method stands among those that there are."""
    return METHODS.index(item[0]) if item[0] in METHODS else len(METHODS)


def read_network(path: str | Path) -> dict[str, Any]:
    """What `--load` names: a checkpoint, or a file of weights, which holds some of the same.

    Raises:
        RunError: it cannot be read.
    """
    return read_export(path) if Path(path).suffix == SUFFIX else read_checkpoint(path)


def read_network_options(path: str | Path) -> dict[str, Any]:
    """The options of what `--load` names; of a file of weights without reading the numbers.

    Raises:
        RunError: it cannot be read.
    """
    known = Path(path).suffix == SUFFIX
    return read_header(path) if known else read_checkpoint(path)["options"]
