"""The host's coroutines: who is resumed when, and what comes of it."""

import pytest

from vrex_sim.tasks import Tasks, until


def counter(log, name, box, upto):
    """Return a task that notes its name whenever ``box`` has grown to what it waits for."""

    async def run():
        for wanted in range(1, upto + 1):
            await until(lambda wanted=wanted: len(box) >= wanted)
            log.append((name, wanted))
        return name

    return run()


def test_a_task_goes_on_when_its_condition_holds_and_not_before():
    tasks, log, box = Tasks(), [], []
    task = tasks.start(counter(log, "a", box, 2))
    assert log == [], "nothing runs before run()"
    tasks.run()
    assert log == [] and not task.done
    box.append(0)
    tasks.run()
    tasks.run()
    assert log == [("a", 1)] and not task.done
    box.append(0)
    tasks.run()
    assert log == [("a", 1), ("a", 2)]
    assert (task.done, task.result) == (True, "a")


def test_a_condition_that_holds_does_not_suspend():
    tasks, log = Tasks(), []
    tasks.start(counter(log, "a", [0] * 5, 5))
    tasks.run()
    assert log == [("a", n) for n in range(1, 6)]


def test_tasks_are_resumed_in_the_order_of_their_start():
    tasks, log, box = Tasks(), [], []
    for name in "cab":
        tasks.start(counter(log, name, box, 1))
    box.append(0)
    tasks.run()
    assert [name for name, _ in log] == ["c", "a", "b"]


def test_every_task_has_its_turn_before_the_first_has_another():
    tasks, log, box = Tasks(), [], []

    async def fills():
        box.append(0)
        log.append(("fills", 1))

    tasks.start(counter(log, "first", box, 1))
    tasks.start(fills())
    tasks.start(counter(log, "last", box, 1))
    tasks.run()
    assert [name for name, _ in log] == ["fills", "last", "first"]


def test_one_run_goes_on_until_all_wait_for_the_device():
    """A task that lets an earlier one go on, and one that starts another, need no further run."""
    tasks, log, box = Tasks(), [], []
    first = tasks.start(counter(log, "waits", box, 2))

    async def lets_go():
        box.append(0)
        inner = tasks.start(opens())
        await until(lambda: inner.done)
        log.append(("saw", inner.result))

    async def opens():
        box.append(0)
        return "opened"

    tasks.start(lets_go())
    tasks.run()
    assert first.done
    assert sorted(log) == [("saw", "opened"), ("waits", 1), ("waits", 2)]


def test_a_condition_is_looked_at_again_after_another_task_took_what_it_was_about():
    tasks, box, got = Tasks(), [], []

    async def takes(name):
        await until(lambda: bool(box))
        got.append((name, box.pop()))

    both = [tasks.start(takes(name)) for name in "ab"]
    tasks.run()
    box.append(1)
    tasks.run()
    assert got == [("a", 1)]
    assert [task.done for task in both] == [True, False]


def test_what_a_task_raises_ends_the_run():
    tasks = Tasks()

    async def fails():
        await until(lambda: True)
        raise KeyError("here")

    tasks.start(fails())
    with pytest.raises(KeyError, match="here"):
        tasks.run()
