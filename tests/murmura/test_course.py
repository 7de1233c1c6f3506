"""What is told of a run is what its folder says, however often it was begun and moved."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from murmura.course import Course
from server.progress import RunStarted
from server.progress_file import Opened
from server.run_folder import RunFolder
from shared.errors import StateError
from tests.murmura.scripted import round_finished
from tests.murmura.watched import claims_of, events, failed, finished, put


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    """Also one that is not there."""
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(StateError, match=r"expected a run folder, got .*no progress\.jsonl"):
            Course(folder)


def test_a_run_is_followed_round_by_round(tmp_path: Path) -> None:
    """Each look takes up what is new; whoever holds the folder plays it."""
    course = Course(put(tmp_path / "run", [Opened(1, "1")])).look()
    assert (course.status, course.rounds, course.claim) == ("stopped", [], None)
    assert course.to_json()["rounds_done"] == 0
    put(course.folder, events(2)[1:])
    with RunFolder(course.folder).held():
        assert course.look().status == "under way"
    assert course.by_round("loss") == [(1.0, 2.0), (2.0, 1.0)]
    assert course.metrics() == ["recall"]
    assert course.measured("recall") == [(1.0, 0.1), (2.0, 0.2)]
    assert course.measured("accuracy") == [(1.0, 0.2), (2.0, 0.4)]
    told = course.to_json()
    assert (told["rounds_done"], told["rounds"], told["clients_lost"]) == (2, 5, 2)
    assert told["metrics"] == {"accuracy": 0.4, "recall": 0.2}


def test_rounds_that_are_played_again_replace_what_was_told_of_them(tmp_path: Path) -> None:
    """A resume that begins at round 2 leaves the first alone."""
    course = Course(put(tmp_path, events(3)))
    again = [event for event in events() if isinstance(event, RunStarted)]
    put(tmp_path, [replace(again[0], first_round=2), round_finished(2, loss=7.0)])
    assert course.look().by_round("loss") == [(1.0, 2.0), (2.0, 7.0)]


def test_a_run_that_was_moved_is_read_where_it_lies(tmp_path: Path) -> None:
    """Its events name another folder."""
    course = Course(finished(tmp_path / "run", events(5))).look()
    assert course.status == "finished"
    assert course.summary["rounds"] == 60
    assert (course.name, course.why) == ("run", "")


def test_what_ended_a_run_is_told(tmp_path: Path) -> None:
    """Class and text."""
    course = Course(failed(tmp_path)).look()
    assert course.status == "failed"
    assert course.why.startswith("TooFewSurvivors: 1 of 3 ")
    assert course.summary == {}


def test_only_finite_numbers_are_drawn_and_a_metric_hides_no_figure_of_ours(tmp_path: Path) -> None:
    """A task may call a metric epsilon; JSON has a text for what is not finite."""
    put(tmp_path, events(1, loss=math.nan, accuracy=None, metrics={"epsilon": 5.0}))
    course = Course(tmp_path).look()
    assert course.by_round("loss") == course.by_round("accuracy") == []
    assert course.by_round("epsilon") == [(1.0, 0.1)]
    assert course.measured("epsilon") == [(1.0, 5.0)]
    assert course.to_json()["loss"] == "nan"


def test_the_worst_observer_with_a_promise_is_named(tmp_path: Path) -> None:
    """At client level the server is promised nothing."""
    opened, begun, *_ = events(0)
    assert isinstance(begun, RunStarted)
    put(tmp_path, [opened, replace(begun, planned_claims=claims_of(privacy__unit="client"))])
    claim = Course(tmp_path).look().claim
    assert claim is not None
    assert claim.adversary == "every_global_model"
