"""How long to wait for a server."""

import threading

from client.back_off import BackOff


def test_waits_grow_to_a_limit_and_begin_anew() -> None:
    """Each between half and all of its length; nobody waits who is to stop."""
    stop = threading.Event()
    stop.set()
    wait = BackOff(stop)
    planned = [wait.sleep() for _ in range(10)]
    lengths = [0.5 * 2.0**n for n in range(6)] + [30.0] * 4
    assert all(each / 2 <= got <= each for got, each in zip(planned, lengths, strict=True))
    wait.reset()
    assert wait.sleep() <= 0.5


def test_who_is_refused_asks_less_and_less_often() -> None:
    """Up to ten minutes; a revoked site's log and the server's grow by a few lines an hour."""
    stop = threading.Event()
    stop.set()
    wait = BackOff(stop)
    planned = [wait.sleep(refused=True) for _ in range(8)]
    lengths = [30.0, 60.0, 120.0, 240.0, 480.0] + [600.0] * 3
    assert all(each / 2 <= got <= each for got, each in zip(planned, lengths, strict=True))
    assert wait.sleep() <= 30.0
    wait.reset()
    assert 15.0 <= wait.sleep(refused=True) <= 30.0


def test_many_sites_do_not_come_back_in_one_moment() -> None:
    """Their waits differ."""
    stop = threading.Event()
    stop.set()
    assert len({BackOff(stop).sleep() for _ in range(50)}) > 10
