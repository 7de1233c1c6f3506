"""A saved model in other forms: each says what its privacy is, and gives the same outputs.

A form is written beside its final name, read back, and compared with the model on public
examples; only one that agrees is given that name. The inputs' normalisation is inside the forms
that hold a program (torch, onnx, int8); with safetensors it is in the metadata.

int8 is ONNX whose weights are 8-bit integers and whose activations are rounded as they come
(onnxruntime's dynamic quantisation): torch's own is on its way out of torch.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from shared.errors import ConfigurationError, DataError, StateError
from shared.extras import extra
from shared.normalisation import Normalisation
from shared.saved_model import SavedModel

Inputs = tuple[Tensor, ...]
Program = Callable[[Inputs], Tensor]
_NOTE = "murmura.json"  # within a torch program
_ROWS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One form of a model.

    Attributes:
        suffix: Of its files.
        tolerance: Largest ‖its outputs - the model's‖ / ‖the model's‖.
        write: Puts the model into a file, with metadata.
        read: The program in such a file; for safetensors into the model given.
        told: The metadata in such a file.
    """

    suffix: str
    tolerance: float
    write: Callable[["_Whole", Inputs, Path, dict[str, str]], None]
    read: Callable[[Path, "_Whole"], Program]
    told: Callable[[Path], dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written: how far its outputs are from the model's, relatively, and its metadata."""

    path: Path
    size: int
    difference: float
    metadata: Mapping[str, str]


class _Whole(nn.Module):
    """The model with the normalisation of its inputs."""

    def __init__(self, network: nn.Module, normalisation: Normalisation | None) -> None:
        super().__init__()
        self.network = network
        self._normalisation = normalisation

    def forward(self, *inputs: Tensor) -> Tensor:
        """Outputs of raw inputs."""
        first, *rest = inputs
        if self._normalisation is not None:
            first = self._normalisation.shifted(first)
        found: Tensor = self.network(first, *rest)
        return found


def export(saved: SavedModel, form: str, target: Path, report_digest: str) -> Exported:
    """Write the model in one form, if what is read back agrees with it.

    Args:
        saved: The model.
        form: A name of FORMS.
        target: The file; replaced if it is there.
        report_digest: SHA-256 of the run's privacy report, for the metadata.

    Raises:
        ConfigurationError: the form needs an extra that is not installed, or cannot hold the model.
        StateError: the file cannot be written, or what is read back differs.
    """
    chosen = FORMS[form]
    whole = _Whole(saved.network, saved.normalisation).eval()
    inputs = _public_rows(saved)
    metadata = dict(saved.metadata) | {"report_digest": report_digest, "format": form}
    partial = target.with_name(f".{target.stem}.partial{chosen.suffix}")
    try:
        chosen.write(whole, tuple(tensor[:2] for tensor in inputs), partial, metadata)
        told = chosen.told(partial)
        difference = _difference(whole, chosen.read(partial, whole), inputs)
        if difference > chosen.tolerance or any(told.get(k) != v for k, v in metadata.items()):
            raise StateError(
                f"expected the model back from {form} within {chosen.tolerance:g}, got a "
                f"difference of {difference:.3g}"
            )
        size = partial.stat().st_size
        partial.replace(target)
    except OSError as error:
        raise StateError(f"{target} cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return Exported(path=target, size=size, difference=difference, metadata=told)


def _public_rows(saved: SavedModel) -> Inputs:
    examples = saved.task.evaluation_data()
    if not len(examples):
        raise DataError("expected public examples to compare on, got none")
    # At least two, or the length would be taken for a constant of the program.
    rows = torch.arange(max(2, min(_ROWS, len(examples)))) % len(examples)
    return examples.select(rows).inputs


@torch.no_grad()
def _difference(whole: _Whole, program: Program, inputs: Inputs) -> float:
    expected, found = whole(*inputs).double(), program(inputs).double()
    if expected.shape != found.shape:
        return float("inf")
    return float((found - expected).norm() / expected.norm().clamp_min(1e-30))


def _write_safetensors(whole: _Whole, _: Inputs, path: Path, metadata: dict[str, str]) -> None:
    named = whole.network.named_parameters()
    save_file({name: p.detach().contiguous().clone() for name, p in named}, path, metadata)


def _read_safetensors(path: Path, whole: _Whole) -> Program:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return lambda inputs: torch.func.functional_call(
        whole, {f"network.{name}": tensor for name, tensor in tensors.items()}, inputs
    )


def _told_safetensors(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def _traced(whole: _Whole, inputs: Inputs) -> torch.export.ExportedProgram:
    """A program for any number of rows."""
    rows = torch.export.Dim("rows")
    try:
        return torch.export.export(
            whole, inputs, dynamic_shapes={"inputs": tuple({0: rows} for _ in inputs)}
        )
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ConfigurationError(
            f"expected a model that torch.export can trace, got {type(error).__name__}: {reason}"
        ) from error


def _write_torch(whole: _Whole, inputs: Inputs, path: Path, metadata: dict[str, str]) -> None:
    torch.export.save(_traced(whole, inputs), path, extra_files={_NOTE: json.dumps(metadata)})


def _read_torch(path: Path, _: _Whole) -> Program:
    program = torch.export.load(path).module()
    return lambda inputs: program(*inputs)


def _told_torch(path: Path) -> dict[str, str]:
    notes: dict[str, Any] = {_NOTE: ""}
    torch.export.load(path, extra_files=notes)
    told: dict[str, str] = json.loads(notes[_NOTE])
    return told


def _write_onnx(whole: _Whole, inputs: Inputs, path: Path, metadata: dict[str, str]) -> None:
    _need_onnx()
    program = torch.onnx.export(
        _traced(whole, inputs),
        input_names=[f"input_{place + 1}" for place in range(len(inputs))],
        output_names=["output"],
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise StateError("expected an ONNX program, got none")
    proto = program.model_proto
    for key, value in metadata.items():
        proto.metadata_props.add(key=key, value=value)
    path.write_bytes(proto.SerializeToString())


def _write_int8(whole: _Whole, inputs: Inputs, path: Path, metadata: dict[str, str]) -> None:
    _need_onnx()
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415 - an extra

    plain = path.with_suffix(".plain.onnx")
    try:
        _write_onnx(whole, inputs, plain, metadata)
        quantize_dynamic(plain, path, weight_type=QuantType.QInt8)
    finally:
        plain.unlink(missing_ok=True)


def _read_onnx(path: Path, _: _Whole) -> Program:
    session = _session(path)
    names = [entry.name for entry in session.get_inputs()]

    def run(inputs: Inputs) -> Tensor:
        given = {name: t.numpy() for name, t in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, given)[0])

    return run


def _told_onnx(path: Path) -> dict[str, str]:
    return dict(_session(path).get_modelmeta().custom_metadata_map)


def _session(path: Path) -> Any:
    import onnxruntime  # noqa: PLC0415 - an extra

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def _need_onnx() -> None:
    try:
        import onnx  # noqa: F401, PLC0415 - an extra
        import onnxruntime  # noqa: F401, PLC0415 - likewise
        import onnxscript  # noqa: F401, PLC0415 - likewise
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"onnx and int8 need {extra('export')}; got no {error.name}"
        ) from error


FORMS: Mapping[str, Form] = {
    "safetensors": Form(
        suffix=".safetensors", tolerance=0.0,
        write=_write_safetensors, read=_read_safetensors, told=_told_safetensors,
    ),
    "torch": Form(
        suffix=".pt2", tolerance=1e-5, write=_write_torch, read=_read_torch, told=_told_torch
    ),
    "onnx": Form(
        suffix=".onnx", tolerance=1e-4, write=_write_onnx, read=_read_onnx, told=_told_onnx
    ),
    "int8": Form(
        suffix=".int8.onnx", tolerance=0.1, write=_write_int8, read=_read_onnx, told=_told_onnx
    ),
}  # fmt: skip
