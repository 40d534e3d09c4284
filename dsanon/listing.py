"""The order in which a folder lists what is in it: on many file systems (XFS, Btrfs, APFS, tmpfs) that of the writing.

A release is written in the source's order, by name, and an archiver takes files as the folder lists them. So the tree
is made anew, of links to the same files, in the order of the released names.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES}


def reorder(folder: Path) -> bool:
    """Make ``folder`` list its entries by their names; False where the file system has no hard links.

    Beside it there are ``.new`` and ``.old`` for a moment; :func:`recover` clears up after a kill. Raises OSError.
    """
    recover(folder)
    try:
        _link(folder, _new(folder))
    except OSError as error:
        shutil.rmtree(_new(folder), ignore_errors=True)
        if error.errno in _NO_LINKS:
            return False
        raise
    folder.rename(_old(folder))
    _new(folder).rename(folder)
    shutil.rmtree(_old(folder))
    return True


def recover(folder: Path) -> None:
    """``folder`` as it was before an interrupted :func:`reorder`, or after it; nothing else beside it."""
    if _old(folder).exists():
        if folder.exists():
            shutil.rmtree(_old(folder))
        else:
            _old(folder).rename(folder)
    if _new(folder).exists():
        shutil.rmtree(_new(folder))


def _link(folder: Path, new: Path) -> None:
    new.mkdir()
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink():
            _link(path, new / path.name)
        else:
            os.link(path, new / path.name, follow_symlinks=False)


def _new(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.new")


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")
