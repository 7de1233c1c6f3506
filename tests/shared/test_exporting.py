"""Each form of a model says what its privacy is, and gives the model's outputs when reloaded."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shared.errors import ConfigurationError, DataError, StateError
from shared.exporting import FORMS, export
from shared.saved_model import SavedModel, open_model
from tests.looking_tasks import Pictures, Planted, Table, Texts, saved, task_of

# Of torch's own way to ONNX, about torch's own code.
ONNX_WARNINGS = pytest.mark.filterwarnings(
    "ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning"
)


def a_model(tmp_path: Path, kind: type[Planted], **metadata: str) -> SavedModel:
    """A saved one, opened, with numbers that are not planted: rounding must matter."""
    found = open_model(saved(tmp_path / "run", kind, **metadata), task_name=task_of(kind))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in found.network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return found


def raw_outputs(form: str, path: Path, inputs: Tensor, rebuilt: nn.Module) -> Tensor:
    """Of the file, by the library that whoever gets it uses; nothing of ours is asked."""
    if form == "safetensors":
        from safetensors.torch import load_file

        rebuilt.load_state_dict(load_file(path))
        found: Tensor = rebuilt(inputs)
        return found
    if form == "torch":
        program: Tensor = torch.export.load(path).module()(inputs)
        return program
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"input_1": inputs.numpy()})[0])


@ONNX_WARNINGS
@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", [Pictures, Table, Texts])
def test_what_is_reloaded_gives_the_same_outputs(
    tmp_path: Path, kind: type[Planted], form: str
) -> None:
    """For one row and for many, within the form's tolerance; the promise is in the metadata."""
    model = a_model(tmp_path, kind)
    target = tmp_path / "there"
    done = export(model, form, target, "d" * 64)
    inputs = model.task.evaluation_data().inputs[0]
    with torch.no_grad():
        for rows in (inputs[:1], inputs, torch.cat([inputs] * 20)):
            expected = model.network(rows)
            found = raw_outputs(form, target, rows, model.task.build_model())
            assert (found - expected).norm() <= 1.5 * FORMS[form].tolerance * expected.norm()
    assert done.difference <= FORMS[form].tolerance
    told = FORMS[form].told(target)
    assert (told["unit"], told["delta"], told["report_digest"]) == ("record", "1e-05", "d" * 64)
    assert json.loads(told["epsilon"]) == {"released_model": 2.5}
    assert told["format"] == form
    assert [path.name for path in tmp_path.iterdir()] in (["run", "there"], ["there", "run"])
    assert done.size == target.stat().st_size


@pytest.mark.slow
def test_a_program_normalises_its_inputs_itself(tmp_path: Path) -> None:
    """So that whoever runs it cannot forget to; of tensors alone the metadata say it."""
    content = json.dumps({"mean": [1.0, 0.0, 0.0, 0.0, 0.0], "stddev": [2.0, 1.0, 1.0, 1.0, 3.0]})
    model = a_model(tmp_path, Table, normalisation=content)
    examples = model.task.evaluation_data()
    expected = model.network(*model.normalised(examples).inputs)
    assert not torch.allclose(expected, model.network(*examples.inputs), atol=1e-2)
    export(model, "torch", tmp_path / "x.pt2", "")
    found = raw_outputs("torch", tmp_path / "x.pt2", examples.inputs[0], model.network)
    assert torch.allclose(found, expected, atol=1e-6)
    done = export(model, "safetensors", tmp_path / "x.safetensors", "")
    assert done.metadata["normalisation"] == content


@pytest.mark.parametrize("hidden", ["onnx", "onnxruntime", "onnxscript"])
@pytest.mark.parametrize("form", ["onnx", "int8"])
def test_without_the_extra_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, hidden: str
) -> None:
    """And nothing is left."""
    model = a_model(tmp_path, Table)
    monkeypatch.setitem(sys.modules, hidden, None)
    with pytest.raises(ConfigurationError, match=r"\.\[export\].*got no " + hidden):
        export(model, form, tmp_path / "x.onnx", "")
    assert not list(tmp_path.glob("*.onnx"))


class _Untraceable(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        """Branches on numbers, which a program cannot follow."""
        return inputs if float(inputs.sum()) > 0 else -inputs


def test_a_model_that_cannot_be_traced_is_said(tmp_path: Path) -> None:
    """With torch's reason in a line."""
    model = SavedModel(
        task=a_model(tmp_path, Table).task,
        network=_Untraceable(),
        metadata={},
        normalisation=None,
        folder=None,
    )
    with pytest.raises(ConfigurationError, match=r"torch\.export can trace"):
        export(model, "torch", tmp_path / "x.pt2", "")


@pytest.mark.parametrize("wrong", [torch.zeros(6, 2), torch.zeros(6, 3)])
def test_what_is_read_back_otherwise_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Tensor
) -> None:
    """A planted difference, in numbers or in shape, is found."""
    model = a_model(tmp_path, Table)
    broken = FORMS["safetensors"]
    form = type(broken)(
        suffix=".x", tolerance=0.0, write=broken.write, told=broken.told,
        read=lambda *_: lambda _: wrong,
    )  # fmt: skip
    monkeypatch.setattr("shared.exporting.FORMS", {"safetensors": form})
    with pytest.raises(StateError, match="expected the model back"):
        export(model, "safetensors", tmp_path / "x", "")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_disk_that_refuses_and_data_that_are_not_there_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As errors of files and data."""
    model = a_model(tmp_path, Table)
    (tmp_path / "folder").mkdir()
    with pytest.raises(StateError, match="cannot be written"):
        export(model, "safetensors", tmp_path / "folder", "")
    none = model.task.evaluation_data().select(torch.arange(0))
    monkeypatch.setattr(Table, "evaluation_data", lambda self: none)  # noqa: ARG005 - a method
    with pytest.raises(DataError, match="public examples to compare on"):
        export(model, "safetensors", tmp_path / "x", "")


def test_an_exporter_that_returns_nothing_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's signature allows it."""
    monkeypatch.setattr("torch.onnx.export", lambda *_, **__: None)
    with pytest.raises(StateError, match="an ONNX program"):
        export(a_model(tmp_path, Table), "onnx", tmp_path / "x", "")


def test_rounding_to_eight_bits_is_seen() -> None:
    """The tolerances are in order, and int8's is not met by halving the outputs."""
    tolerances = [FORMS[form].tolerance for form in ("safetensors", "torch", "onnx", "int8")]
    assert tolerances == sorted(tolerances)
    assert float(np.linalg.norm(0.5 * np.ones(3)) / np.linalg.norm(np.ones(3))) > tolerances[-1]
