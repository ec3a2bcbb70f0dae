"""The error that a user can mend."""


class UserError(Exception):
    """Bad input. Its text is one line: what is wrong, where, and what to do.

    The ``vrex`` command prints it after ``vrex: `` and exits with code 2.
    """

    def __init__(self, message: str) -> None:
        """``message`` is folded into one line."""
        super().__init__(" ".join(message.split()))
