"""The house: who may import whom (docs/adr/0002), and what no file may hold.

Every rule is a function from source text to its violations, and every rule is shown to find one.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "shared": {"shared"},
    "client": {"client", "shared"},
    "server": {"server", "shared"},
    "simulations": {"simulations", "client", "server", "shared"},
    "murmura": {"murmura", "simulations", "client", "server", "shared"},
}
PURE = ("shared/dp", "shared/secagg")
JUNK_DRAWERS = {"utils", "util", "common", "helpers", "misc", "types", "random", "secrets"}
LONGEST_FILE, LONGEST_TEST, LONGEST_APP = 300, 400, 60
Rule = Callable[[str], list[str]]


def sources(*folders: str) -> list[Path]:
    """Every Python file below `folders` of the checkout."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name_of(node: ast.AST) -> str:
    """A dotted name as it is written; "" for any other expression."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def imported_modules(source: str) -> set[str]:
    """Modules that `source` imports, wherever that stands; `from a import b` gives a.b too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def top_level(modules: set[str]) -> set[str]:
    """The packages of `modules`."""
    return {module.partition(".")[0] for module in modules}


def upward_imports(package: str, source: str) -> set[str]:
    """Packages of ours that a file of `package` imports and may not."""
    return (top_level(imported_modules(source)) & MAY_IMPORT.keys()) - MAY_IMPORT[package]


def impure_imports(source: str) -> list[str]:
    """What the mathematics of `PURE` may not know: frameworks, and ours but what is named."""
    allowed = {"shared", "shared.errors", "shared.config", "shared.domains"}
    below = ("shared.dp", "shared.secagg", *(f"{module}." for module in allowed - {"shared"}))
    found = {
        module
        for module in imported_modules(source)
        if module.partition(".")[0] in {"flwr", "torch", "opacus"}
        or (module.startswith("shared") and module not in allowed and not module.startswith(below))
    }
    return sorted(found)


def pickles(source: str) -> list[str]:
    """Everything that writes or reads pickles: loading one runs whatever its author wrote."""
    modules = {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}
    found = sorted(top_level(imported_modules(source)) & modules)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and name_of(node.func) in {"torch.load", "torch.save"}:
            found.append(name_of(node.func))
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            found.append("allow_pickle")
        if isinstance(node, ast.ImportFrom) and node.module == "torch":
            found += [alias.name for alias in node.names if alias.name in {"load", "save"}]
    return found


def broad_excepts(source: str) -> list[str]:
    """Handlers of everything, and of Exception or BaseException."""
    broad = {"Exception", "BaseException"}
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(kind is None or name_of(kind) in broad for kind in caught):
                found.append(f"line {node.lineno}")
    return found


def swallowing_excepts(source: str) -> list[str]:
    """Broad handlers that do not end by raising."""
    broad = broad_excepts(source)
    return [
        f"line {node.lineno}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ExceptHandler)
        and f"line {node.lineno}" in broad
        and not isinstance(node.body[-1], ast.Raise)
    ]


def statistical_generators(source: str) -> list[str]:
    """Generators that whoever sees some of their output can predict: no source of secrets."""
    found = sorted(imported_modules(source) & {"random", "numpy.random"})
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and name_of(node) in {"np.random", "numpy.random"}:
            found.append(name_of(node))
        if isinstance(node, ast.Call) and name_of(node.func) in {
            "torch.rand", "torch.randn", "torch.normal", "torch.randperm", "torch.randint",
        }:  # fmt: skip
            found.append(name_of(node.func))
    return found


def warning_filters(source: str) -> list[str]:
    """Every call that silences warnings."""
    silencing = {
        "warnings.filterwarnings",
        "warnings.simplefilter",
        "filterwarnings",
        "simplefilter",
    }
    return [
        name_of(node.func)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and name_of(node.func) in silencing
    ]


def test_files_are_found() -> None:
    """No rule below holds for want of files."""
    for package in MAY_IMPORT:
        assert len(sources(package)) > 3, package


@pytest.mark.no_cover
@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_downwards(package: str) -> None:
    """shared <- client, server <- simulations <- murmura; client and server never meet."""
    for path in sources(package):
        assert upward_imports(package, path.read_text()) == set(), path


@pytest.mark.no_cover
@pytest.mark.parametrize("package", ["shared", "client", "server"])
def test_what_travels_to_nodes_does_not_look_for_the_rest_of_the_repository(package: str) -> None:
    """`simulations` and `murmura` are not in the app bundle."""
    for path in sources(package):
        assert not {"simulations", "murmura", "tests"} & top_level(
            imported_modules(path.read_text())
        ), path


def test_the_mathematics_knows_neither_flower_nor_torch() -> None:
    """shared/dp imports itself, errors, config and domains; through those, too, no framework."""
    for path in sources(*PURE):
        assert impure_imports(path.read_text()) == [], path
    assert frameworks_reached_from(sources(*PURE)) == set()


def frameworks_reached_from(paths: list[Path], *more: str) -> set[str]:
    """flwr, torch, opacus and `more`, wherever the modules of ours that `paths` import lead."""
    waiting, seen, found = list(paths), set[Path](), set[str]()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        modules = imported_modules(path.read_text())
        found |= top_level(modules) & {"flwr", "torch", "opacus", *more}
        waiting += [known for module in modules for known in files_of(module)]
    return found


def files_of(module: str) -> Iterator[Path]:
    """Our files that importing `module` runs."""
    parts = module.split(".")
    if parts[0] in MAY_IMPORT:
        for end in range(1, len(parts) + 1):
            place = ROOT.joinpath(*parts[:end])
            candidates = (place / "__init__.py", place.with_suffix(".py"))
            yield from (path for path in candidates if path.is_file())


def test_the_walk_through_our_own_modules_finds_a_framework_two_steps_away() -> None:
    """client/app.py imports flwr; client/in_process.py reaches opacus through the trainer."""
    path = ROOT / "client" / "in_process.py"
    assert "opacus" in frameworks_reached_from([path])
    assert "opacus" not in top_level(imported_modules(path.read_text()))


def test_what_checks_charges_and_masks_loads_no_framework_that_trains() -> None:
    """A site's guard is a small process; torch is in its worker."""
    assert frameworks_reached_from([ROOT / "client" / "session.py"]) == {"flwr"}


def test_what_a_command_asks_of_the_service_loads_no_framework() -> None:
    """`murmura server status` and `invite`: a third of a second, where Flower takes two."""
    assert frameworks_reached_from([ROOT / "server" / "local_client.py"]) == set()


def test_what_reads_a_run_loads_no_accountant() -> None:
    """A claim that is told is data; what composes distributions takes a second and 60 MB."""
    reader, found = ROOT / "server" / "progress_file.py", {"dp_accounting", "scipy", "numpy"}
    assert frameworks_reached_from([reader], *found) == set()
    assert frameworks_reached_from([ROOT / "shared" / "dp" / "claims.py"], *found) >= found


@pytest.mark.parametrize(
    ("folders", "longest"), [(tuple(MAY_IMPORT), LONGEST_FILE), (("tests",), LONGEST_TEST)]
)
def test_no_file_is_longer_than_its_cap(folders: tuple[str, ...], longest: int) -> None:
    """Longer files are split, by what they are about."""
    lengths = {path: len(path.read_text().splitlines()) for path in sources(*folders)}
    assert {path: length for path, length in lengths.items() if length > longest} == {}


@pytest.mark.parametrize("side", ["client", "server"])
def test_an_app_only_joins_flower_to_the_code(side: str) -> None:
    """app.py of each side has at most 60 lines, and `app` is assigned in it, as Flower asks."""
    source = (ROOT / side / "app.py").read_text()
    assert len(source.splitlines()) <= LONGEST_APP
    assigned = [
        name_of(target)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        for target in node.targets
    ]
    assert "app" in assigned


def test_there_is_no_junk_drawer() -> None:
    """No module or folder is named for holding anything, or like a module of Python's own."""
    for path in sources(*MAY_IMPORT, "tests"):
        assert not {*path.relative_to(ROOT).parts[:-1], path.stem} & JUNK_DRAWERS, path


def test_no_module_that_travels_is_named_like_a_test() -> None:
    """Flower leaves test_*.py and *_test.py out of an app bundle without a word."""
    for path in sources("client", "server", "shared"):
        assert not path.stem.startswith("test_"), path
        assert not path.stem.endswith("_test"), path


def test_every_folder_of_tests_and_code_is_a_package() -> None:
    """Without __init__.py, tests/server would become the package `server`."""
    for path in sources(*MAY_IMPORT, "tests"):
        assert (path.parent / "__init__.py").exists(), path.parent


def test_no_test_has_an_example_that_nobody_runs() -> None:
    """Examples in docstrings are sought in shared/ and in the pages, not among the tests."""
    prompt = ">" * 3
    for path in sources("tests"):
        assert prompt not in path.read_text(), path


@pytest.mark.no_cover
def test_nothing_is_pickled() -> None:
    """Not in the tests either."""
    for path in sources(*MAY_IMPORT, "tests", "benchmarks"):
        assert pickles(path.read_text()) == [], path


@pytest.mark.no_cover
def test_only_an_apps_edge_catches_everything_and_it_raises() -> None:
    """A guarantee that broke must not be swallowed on its way out."""
    for path in sources(*MAY_IMPORT):
        source = path.read_text()
        if path.relative_to(ROOT).as_posix() in {"client/edge.py", "server/app.py"}:
            assert swallowing_excepts(source) == [], path
        else:
            assert broad_excepts(source) == [], path


@pytest.mark.no_cover
def test_secrets_come_from_no_statistical_generator() -> None:
    """client, server and the mathematics draw from shared.dp.randomness alone (docs/adr/0005).

    shared/partition.py may use NumPy's seeded generator: how a demonstration is shared out is
    public. Tasks may: a model's initial numbers are drawn from torch's generator, which the
    run seeds from its stream.
    """
    for path in sources("client", "server", *PURE):
        assert statistical_generators(path.read_text()) == [], path


@pytest.mark.no_cover
def test_no_warning_is_silenced_but_the_one_that_is_explained() -> None:
    """shared/per_example.py says which, and why; a filter elsewhere hides what it does not know."""
    filters = {
        path.relative_to(ROOT).as_posix(): len(warning_filters(path.read_text()))
        for path in sources(*MAY_IMPORT)
    }
    assert {path: count for path, count in filters.items() if count} == {"shared/per_example.py": 1}


@pytest.mark.parametrize(
    ("rule", "planted"),
    [
        (impure_imports, "import torch.nn"),
        (impure_imports, "def f():\n    from flwr.app import Message"),
        (impure_imports, "from shared.parameters import flatten"),
        (impure_imports, "from shared import parameters"),
        (pickles, "import pickle"),
        (pickles, "from joblib import dump"),
        (pickles, "import torch\ntorch.load('model.pt')"),
        (pickles, "from torch import save"),
        (pickles, "np.load('x.npy', allow_pickle=True)"),
        (broad_excepts, "try:\n    f()\nexcept Exception:\n    raise"),
        (broad_excepts, "try:\n    f()\nexcept (OSError, BaseException):\n    raise"),
        (broad_excepts, "try:\n    f()\nexcept:\n    raise"),
        (swallowing_excepts, "try:\n    f()\nexcept Exception:\n    log()"),
        (statistical_generators, "import random"),
        (statistical_generators, "from numpy.random import default_rng"),
        (statistical_generators, "noise = np.random.normal(0, 1)"),
        (statistical_generators, "noise = torch.randn(3)"),
        (warning_filters, "warnings.filterwarnings('ignore')"),
        (warning_filters, "from warnings import simplefilter\nsimplefilter('ignore')"),
    ],
)
def test_a_rule_finds_what_it_forbids(rule: Rule, planted: str) -> None:
    """A rule that cannot fail proves nothing."""
    assert rule(planted) != []


@pytest.mark.parametrize(
    ("package", "planted"),
    [
        ("shared", "from client.trainer import LocalTraining"),
        ("client", "import server"),
        ("server", "def f():\n    import client.app"),
        ("simulations", "from murmura.cli import main"),
    ],
)
def test_an_upward_import_is_found(package: str, planted: str) -> None:
    """Wherever in the file it stands."""
    assert upward_imports(package, planted) != set()


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        (pickles, "from safetensors.torch import load"),
        (impure_imports, "import numpy\nfrom shared.errors import PrivacyError"),
        (swallowing_excepts, "try:\n    f()\nexcept Exception:\n    log()\n    raise"),
        (broad_excepts, "try:\n    f()\nexcept OSError:\n    pass"),
        (statistical_generators, "from shared.dp.randomness import RandomStream"),
    ],
)
def test_a_rule_lets_the_rest_pass(rule: Rule, allowed: str) -> None:
    """A rule that always fails proves nothing either."""
    assert rule(allowed) == []
