"""The two errors that the ``vrex`` command tells in plain words."""


class UserError(Exception):
    """Bad input. Its text is one line: what is wrong, where, and what to do.

    The ``vrex`` command prints it after ``vrex: `` and exits with code 2.
    """

    def __init__(self, message: str) -> None:
        """``message`` is folded into one line."""
        super().__init__(" ".join(message.split()))


class HardwareError(AssertionError):
    """The hardware or its simulation is wrong: it differs from the reference, hangs, or fails.

    Nothing that a user did; the ``vrex`` command prints the text and exits with code 1.
    """
