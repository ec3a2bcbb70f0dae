"""Coroutines of a host that wait for each other and for a device, whatever runs the device.

A coroutine awaits :func:`until`; nothing else suspends it. :class:`Tasks` resumes those whose
condition holds, in the order in which they were started, so that a host does the same in the same
cycle under cocotb and in the compiled loop.
"""

from collections.abc import Callable, Coroutine, Generator
from typing import Any

Condition = Callable[[], bool]


class until:  # noqa: N801 (reads as a verb: await until(...))
    """Awaited: goes on as soon as ``condition()`` holds."""

    def __init__(self, condition: Condition) -> None:
        """``condition`` may depend on other tasks and on what the device has given."""
        self._condition = condition

    def __await__(self) -> Generator[Condition, None, None]:
        """Suspend the task, unless the condition holds already."""
        while not self._condition():
            yield self._condition


class Task:
    """A coroutine that was started; ``done`` once it has ended with its ``result``."""

    def __init__(self, coroutine: Coroutine[Any, None, Any]) -> None:
        """Made by :meth:`Tasks.start`."""
        self._coroutine = coroutine
        self._condition: Condition = lambda: True
        self.done = False
        self.result: Any = None

    def advance(self) -> bool:
        """Resume it if its condition holds; True if so."""
        if self.done or not self._condition():
            return False
        try:
            self._condition = self._coroutine.send(None)
        except StopIteration as end:
            self.done, self.result = True, end.value
        return True


class Tasks:
    """The tasks of one host."""

    def __init__(self) -> None:
        """Start with none."""
        self._tasks: list[Task] = []

    def start(self, coroutine: Coroutine[Any, None, Any]) -> Task:
        """Let ``coroutine`` run beside the others."""
        task = Task(coroutine)
        self._tasks.append(task)
        return task

    def run(self) -> None:
        """Resume tasks until every one of them has ended or waits for the device.

        Raises what a task raises.
        """
        while any([task.advance() for task in self._tasks]):
            self._tasks = [task for task in self._tasks if not task.done]
