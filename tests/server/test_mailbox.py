"""The mailbox: who has a message is told at once, who has none after a while."""

import asyncio

from server.mailbox import Mailbox


class Post:
    """Messages, and how often they were looked for."""

    def __init__(self) -> None:
        self.waiting: set[str] = set()
        self.looks = 0

    def addressed(self) -> set[str]:
        """As Flower's database tells it."""
        self.looks += 1
        return set(self.waiting)


def test_a_message_is_told_to_its_site_and_to_no_other() -> None:
    """Whether it was there before or comes while the site waits."""

    async def played() -> list[bool]:
        post = Post()
        box = Mailbox(post.addressed, 0.5)
        working = asyncio.create_task(box.run())
        post.waiting.add("early")
        asked = [asyncio.create_task(box.wait(name)) for name in ("early", "late", "never")]
        await asyncio.sleep(0.1)
        post.waiting.add("late")
        answers = await asyncio.gather(*asked)
        working.cancel()
        return answers

    assert asyncio.run(played()) == [True, True, False]


def test_nobody_looks_while_nobody_waits() -> None:
    """The database is left alone."""

    async def played() -> tuple[int, int]:
        post = Post()
        box = Mailbox(post.addressed, 0.01)
        working = asyncio.create_task(box.run())
        await box.wait("a")
        await asyncio.sleep(0.2)
        before = post.looks
        await asyncio.sleep(0.3)
        after = post.looks
        working.cancel()
        return before, after

    before, after = asyncio.run(played())
    assert 0 < before <= 3
    assert after == before


def test_one_look_serves_all_who_wait() -> None:
    """A hundred sites cost what one costs."""

    async def played() -> int:
        post = Post()
        box = Mailbox(post.addressed, 0.3)
        working = asyncio.create_task(box.run())
        asked = [asyncio.create_task(box.wait(str(number))) for number in range(100)]
        assert not any(await asyncio.gather(*asked))
        working.cancel()
        assert box._waiting == {}
        return post.looks

    assert asyncio.run(played()) < 50


def test_two_questions_of_one_site_are_both_answered() -> None:
    """As where its first connection was cut and it asks again."""

    async def played() -> list[bool]:
        post = Post()
        box = Mailbox(post.addressed, 5.0)
        working = asyncio.create_task(box.run())
        asked = [asyncio.create_task(box.wait("a")) for _ in range(2)]
        await asyncio.sleep(0.1)
        post.waiting.add("a")
        answers = await asyncio.gather(*asked)
        working.cancel()
        return answers

    assert asyncio.run(played()) == [True, True]


def test_whoever_waits_when_the_server_stops_is_let_go() -> None:
    """And nobody waits after that."""

    async def played() -> list[bool]:
        box = Mailbox(Post().addressed, 60.0)
        asked = asyncio.create_task(box.wait("a"))
        await asyncio.sleep(0.05)
        box.close()
        return [await asked, await box.wait("b")]

    assert asyncio.run(asyncio.wait_for(played(), 30)) == [False, False]


def test_the_more_sites_wait_the_longer_each_does() -> None:
    """Within what a site waits for an answer."""

    async def played() -> tuple[float, float, float]:
        box = Mailbox(Post().addressed, 0.5)
        few = box._patience()
        waiting = [asyncio.create_task(box.wait(str(number))) for number in range(200)]
        await asyncio.sleep(0)
        some = box._patience()
        waiting += [asyncio.create_task(box.wait(str(number))) for number in range(200, 900)]
        await asyncio.sleep(0)
        many = box._patience()
        box.close()
        assert not any(await asyncio.gather(*waiting))
        return few, some, many

    assert asyncio.run(played()) == (0.5, 4.0, 10.0)
