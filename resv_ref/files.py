"""Files that are written whole or not at all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from vrex import UserError


def check_writable(path: str | Path, keep: str | Path | None = None) -> None:
    """Raise :class:`~vrex.UserError` if :func:`whole` could not make ``path``.

    ``keep`` names a file that must not be written over, the trace that is read.
    """
    path = Path(path)
    folder = path.parent
    if not folder.is_dir():
        raise UserError(f"{path}: its folder {folder} does not exist; make it first")
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give the name of a file")
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise UserError(f"{path}: is there and is no plain file; give another name")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{path}: its folder {folder} cannot be written; choose another")
    if keep is not None and path.exists() and path.samefile(keep):
        raise UserError(f"{path}: is the trace that is read; give the output another name")


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Yield the name under which to make ``path``: another one in its folder, renamed at the end.

    So ``path`` never holds half a file; what fails leaves the older one. Raises
    :class:`~vrex.UserError` if the folder cannot be written, and for an OSError on the way.
    """
    path = Path(path)
    check_writable(path)
    unfinished = path.with_name(f".vrex.{os.getpid()}.part")
    try:
        unfinished.touch()
        mode = unfinished.stat().st_mode
        yield unfinished
        unfinished.chmod(mode)  # safetensors makes files that only their owner may read
        unfinished.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error}); choose another place") from None
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
