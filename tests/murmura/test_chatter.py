"""Libraries are kept quiet; our own warnings are not."""

import logging

import pytest

from murmura.chatter import quieten_libraries


def test_flower_says_nothing_and_nothing_twice(capsys: pytest.CaptureFixture[str]) -> None:
    """Its level is raised after its import, which sets one."""
    quieten_libraries(debug=False)
    flower = logging.getLogger("flwr")
    assert flower.propagate is False
    flower.error("a line nobody asked for")
    assert capsys.readouterr() == ("", "")


def test_our_warnings_are_shown_once_however_often_a_run_starts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A lost client is no chatter."""
    quieten_libraries(debug=False)
    quieten_libraries(debug=False)
    logging.getLogger("murmura.grid").warning("client %d is lost", 3)
    logging.getLogger("murmura.grid").info("all is well")
    assert capsys.readouterr().err == "warning: client 3 is lost\n"


@pytest.mark.parametrize("debug", [True, False])
def test_the_root_logger_gets_a_handler_before_opacus_gives_it_one(
    monkeypatch: pytest.MonkeyPatch, debug: bool
) -> None:
    """`logging.basicConfig` then does nothing; with --debug it is one that is read."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    quieten_libraries(debug=debug)
    assert isinstance(root.handlers[0], logging.StreamHandler) is debug
    quieten_libraries(debug=debug)
    assert len(root.handlers) == 1
