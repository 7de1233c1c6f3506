"""Tasks whose models rest on one planted place, and run folders that hold such models."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from server.report.verify import report_digest
from shared.config import RunConfig
from shared.task import Examples, Site, TaskSettings

PATCH = (slice(2, 4), slice(4, 6))  # of the pictures
COLUMN = 3  # of the table
TOKEN = 7  # of the texts
REPORT = {"verdict": {"level": "guaranteed"}, "run": {"run_id": "run"}}


class Planted:
    """What the three tasks share: cross entropy, and sites with records of their own."""

    def __init__(self, settings: TaskSettings) -> None:
        self.settings = settings

    def public(self) -> Tensor:
        """Public inputs."""
        raise NotImplementedError

    def evaluation_data(self) -> Examples:
        """Labelled by whether the planted place is there."""
        inputs = self.public()
        return Examples((inputs,), self.labels(inputs))

    def labels(self, inputs: Tensor) -> Tensor:
        """Class of each input."""
        raise NotImplementedError

    def build_model(self) -> nn.Module:
        """With its planted numbers."""
        raise NotImplementedError

    def site_data(self, site: Site) -> Examples:
        """The first two public examples; none in a folder called `empty`."""
        folder = self.settings.data_dir
        assert folder is not None
        assert site == Site(index=0, partition=None)
        return self.evaluation_data().select(torch.arange(0 if folder.name == "empty" else 2))

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of each example."""
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Whether the larger output is the label's."""
        return {"accuracy": (outputs.argmax(1) == targets).float(), "one": targets * 0.0 + 1.0}


class Pictures(Planted):
    """8x8 grey pictures; class 1 has a white patch."""

    def public(self) -> Tensor:
        """Noise between black and grey, and in every second one the patch."""
        generator = torch.Generator().manual_seed(0)
        found = torch.rand(6, 1, 8, 8, generator=generator) * 0.8 - 1.0
        found[0, 0, 0, 0] = -1.0
        found[1::2, 0, *PATCH] = 1.0
        return found

    def labels(self, inputs: Tensor) -> Tensor:
        """1 with the patch."""
        return (inputs[:, 0, *PATCH].mean((1, 2)) > 0.5).long()

    def build_model(self) -> nn.Module:
        """A convolution that passes its input on, and a look at the patch."""
        model = nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2)
        )
        convolution, last = model[0], model[3]
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
            convolution.weight[0, 0, 1, 1] = 1.0
            seen = torch.zeros(2, 8, 8)
            seen[0][PATCH] = 1.0
            last.weight[1] = seen.flatten()
            last.bias[0] = 2.0
        return model

    def class_names(self) -> Sequence[str]:
        """One must be escaped."""
        return ["<plain> & dull", "with $patch$"]


class Table(Planted):
    """Five columns; the class is the sign of one of them."""

    def public(self) -> Tensor:
        """Normal numbers."""
        found = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
        found[:, COLUMN] = torch.tensor([2.0, -2.0, 2.0, -2.0, 2.0, -2.0])
        return found

    def labels(self, inputs: Tensor) -> Tensor:
        """1 where the column is above zero."""
        return (inputs[:, COLUMN] > 0).long()

    def build_model(self) -> nn.Module:
        """Looks at the column."""
        model = nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 2))
        first, last = model[0], model[2]
        assert isinstance(first, nn.Linear)
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
            first.weight[:, COLUMN] = 0.5
            last.weight[1], last.weight[0] = 1.0, -1.0
        return model

    def feature_names(self) -> Sequence[str]:
        """One that matplotlib would set as a formula."""
        return ["a", "$b$", "c", "planted", "e"]


class Texts(Planted):
    """Six tokens of ten; class 1 where the planted one occurs."""

    def public(self) -> Tensor:
        """The planted token at place 2 of every second text; padding, 0, at the end."""
        found = torch.randint(1, 6, (6, 6), generator=torch.Generator().manual_seed(2))
        found[1::2, 2], found[:, 5] = TOKEN, 0
        return found

    def labels(self, inputs: Tensor) -> Tensor:
        """1 with the token."""
        return (inputs == TOKEN).any(1).long()

    def build_model(self) -> nn.Module:
        """Adds up what tokens say."""
        return _Adding()

    def token_texts(self, tokens: Tensor) -> Sequence[str]:
        """Letters."""
        return ["" if token == 0 else "<abcdefghi"[int(token)] for token in tokens]


class _Adding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4)
        self.last = nn.Linear(4, 2)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            self.embedding.weight[TOKEN, 0] = 4.0
            self.last.weight[1, 0], self.last.bias[0] = 1.0, 2.0

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores of both classes."""
        found: Tensor = self.last(self.embedding(tokens).sum(1))
        return found


def saved(folder: Path, kind: type[Planted], **metadata: str) -> Path:
    """A run folder with the model, the configuration, the report and its digest."""
    folder.mkdir(parents=True, exist_ok=True)
    name = metadata.get("task", task_of(kind))
    told = {
        "task": name, "model": "", "rounds": "3", "unit": "record",
        "adjacency": "add_or_remove_one", "delta": "1e-05", "plan_digest": "ab",
        "seeded": "false", "epsilon": json.dumps({"released_model": 2.5}),
    }  # fmt: skip
    tensors = {
        n: p.detach().clone() for n, p in kind(TaskSettings()).build_model().named_parameters()
    }
    save_file(tensors, folder / "model.safetensors", told | metadata)
    flat = RunConfig.from_run_config({"task": name}).flat()
    content = {key: {"value": value, "origin": "default"} for key, value in flat.items()}
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "report.json").write_text(json.dumps(REPORT))
    (folder / "summary.json").write_text(json.dumps({"report_digest": report_digest(REPORT)}))
    return folder


def task_of(kind: type[Planted]) -> str:
    """Its name for --task."""
    return f"tests.looking_tasks:{kind.__name__}"
