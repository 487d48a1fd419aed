"""Checks of ``autoprune doctor``: packages are imported, devices and directories are used.

They must work where little else does: this module imports nothing heavy, and any error of what is
tried counts as an answer.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

from filelock import FileLock

from autoprune.commands.doctor.config import DoctorConfig
from autoprune.commands.doctor.result import ABSENT, BROKEN, OK, Check, Diagnosis, Status
from autoprune.errors import AutopruneError
from autoprune.foundation import plugins
from autoprune.foundation.files import replace_text, user_directory
from autoprune.foundation.progress import Progress

EXTRAS: Final = {
    "data": "image folders and the hub for --data",
    "onnx": "export --to onnx",
    "optuna": "samplers of Optuna as searchers",
    "pandas": "Result.trials as a table",
    "trainers": "pruning inside the training of transformers and Lightning",
    "vision": "--model timm:NAME and torchvision:NAME",
}
"""Uses of the optional packages, by extra."""

_MODULES: Final = {"scikit-learn": "sklearn", "pillow": "PIL"}
_LEAST_FREE: Final = 2**30
_AGREEMENT: Final = 1e-2
"""Relative difference to float64 that float32 on a device may have; TF32 needs a part of it."""


def run_doctor(config: DoctorConfig, progress: Progress) -> Diagnosis:
    """Carry out ``autoprune doctor``; no problem that it meets raises an error."""
    del config
    needs = list(_requirements())
    checks = [_python()]
    with progress.phase("doctor", len(needs)) as phase:
        for name, least, extra in needs:
            checks.append(_package(name, least, extra))
            phase.advance()
    return Diagnosis((*checks, *_plugins(), *_devices(), *_directories()))


def _python() -> Check:
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return Check("python", platform.python_version(), OK, f"{system}, {sys.executable}")


def _requirements() -> Iterator[tuple[str, str, str]]:
    """Yield (package, least version, extra) of every requirement, once, but not those of tests."""
    try:
        requirements = requires("autoprune") or []
    except PackageNotFoundError:
        return
    seen = set()
    for text in requirements:
        name = re.split(r"[^A-Za-z0-9._-]", text)[0]
        least = re.search(r">=\s*([\d.]+)", text)
        extra = re.search(r"extra == ['\"](\w+)['\"]", text)
        if name not in seen and (not extra or extra[1] in EXTRAS):
            seen.add(name)
            yield name, least[1] if least else "0", extra[1] if extra else ""


def _package(name: str, least: str, extra: str) -> Check:
    topic, install = "packages", f"pip install '{name}>={least}'"
    lacking: Status = ABSENT if extra else BROKEN
    if extra:
        topic, install = f"[{extra}] {EXTRAS.get(extra, '')}", f"pip install 'autoprune[{extra}]'"
    try:
        installed = version(name)
    except PackageNotFoundError:
        return Check(topic, name, lacking, "not installed", install)
    try:
        import_module(_MODULES.get(name, name.replace("-", "_")))
    except Exception as error:  # a broken installation can raise anything
        reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
        if name != "torchvision" and "torchvision" in reason:
            found = f"{installed} imports torchvision, which is broken"
        else:
            found = f"{installed} cannot be imported: {reason:.60}"
        return Check(topic, name, lacking, found, _reinstall_advice(name, reason))
    if _version_numbers(installed) < _version_numbers(least):
        return Check(topic, name, lacking, f"{installed} is older than {least}", install)
    return Check(topic, name, OK, installed)


def _reinstall_advice(name: str, reason: str) -> str:
    if "torchvision" in (name, *reason.replace("::", " ").split()):
        return "install the torchvision made for this torch, from the same index"
    return f"pip install --force-reinstall {name}"


def _version_numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text.partition("+")[0])[:3])


def _plugins() -> Iterator[Check]:
    """Import every plug-in that an installed package brings."""
    for kind in plugins.KINDS:
        for plugin in plugins.installed(kind).values():
            name = f"{kind.removesuffix('s')} {plugin.name}"
            try:
                plugin.load()
            except AutopruneError as error:
                reason = str(error.args[0]).partition(" cannot be imported: ")[2]
                found = f"of {plugin.package} cannot be imported: {reason:.60}"
                yield Check("plug-ins", name, ABSENT, found, error.hint)
            else:
                yield Check("plug-ins", name, OK, f"of {plugin.package}")


def _devices() -> Iterator[Check]:
    try:
        import torch
    except Exception:  # the check of the package gives the reason
        return
    level = torch.backends.cpu.get_cpu_capability()
    yield _device("cpu", f"{torch.get_num_threads()} threads, {level}")
    for number in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(number)
        yield _device(f"cuda:{number}", f"{about.name}, {about.total_memory / 2**30:.0f} GiB")
    if not torch.cuda.device_count():
        reason = "this torch is built without CUDA" if not torch.version.cuda else "none is visible"
        advice = "nothing to do; with an NVIDIA GPU, see its driver and pytorch.org/get-started"
        yield Check("devices", "cuda", ABSENT, reason, advice)


def _device(name: str, about: str) -> Check:
    """Compare gradients with those of float64, and check whether they repeat bit for bit."""
    import torch
    from torch import nn

    def gradients(dtype: torch.dtype, device: str) -> torch.Tensor:
        """Return the gradients of a small network after a backward pass, float64 [all]."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3))
            images = torch.randn(4, 3, 16, 16)
        net.to(device, dtype)(images.to(device, dtype)).square().mean().backward()
        grads = [value.grad for value in net.parameters() if value.grad is not None]
        return torch.cat([grad.flatten() for grad in grads]).double().cpu()

    try:
        exact = gradients(torch.float64, "cpu")
        first, second = (gradients(torch.float32, name) for _ in range(2))
    except Exception as problem:  # driver, memory, architecture: anything can be raised
        reason = next(iter(str(problem).splitlines()), type(problem).__name__)
        advice = "--device cpu always works" if name != "cpu" else "install torch again"
        return Check("devices", name, BROKEN, f"{about}: {reason:.60}", advice)
    error = float((first - exact).abs().max() / exact.abs().max())
    if not error < _AGREEMENT:
        found = f"{about}: float32 is off by {error:.0e} of float64"
        return Check("devices", name, BROKEN, found, "update the driver, or use another device")
    repeats = "repeats bit for bit" if torch.equal(first, second) else "does not repeat bit for bit"
    return Check("devices", name, OK, f"{about}; float32 to {error:.0e}; {repeats}")


def _directories() -> Iterator[Check]:
    yield _directory("runs", Path("logs"), BROKEN, "name a directory you can write to with --run")
    homes = {"cache": ("XDG_CACHE_HOME", ".cache"), "trusted": ("XDG_STATE_HOME", ".local/state")}
    for name, (variable, usual) in homes.items():
        path = user_directory(variable, usual)
        yield _directory(name, path, ABSENT, f"set {variable} to a directory you can write to")


def _directory(name: str, path: Path, lacking: Status, advice: str) -> Check:
    """Lock, write, sync and rename a file, in the nearest existing directory above ``path``."""
    nearest = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".autoprune-doctor-", dir=nearest) as scratch,
            FileLock(Path(scratch) / "lock").acquire(timeout=0),
        ):
            replace_text(Path(scratch) / "file", "content")
        free = shutil.disk_usage(nearest).free
    except (OSError, AutopruneError) as error:
        reason = error.args[0] if isinstance(error, AutopruneError) else error.strerror
        return Check("places", name, lacking, f"in {path}: {reason}", advice)
    found = f"in {path}: {free / 2**30:.1f} GiB free"
    if free < _LEAST_FREE:
        return Check("places", name, ABSENT, found, "make room: runs keep weights and checkpoints")
    return Check("places", name, OK, found)
