"""The one error tree. Every message says what was found, what was expected and what to do."""

from __future__ import annotations


class DsanonError(Exception):
    """A fault of the program (exit code 1) unless a subclass says otherwise."""

    exit_code = 1


class UsageError(DsanonError):
    """Bad usage or bad input: one clear line, no traceback, exit code 2."""

    exit_code = 2


class SourceError(UsageError):
    """SOURCE cannot be read as the dataset it is said to be."""


class ReleaseError(UsageError):
    """RELEASE exists, is owned by a running job, cannot be written or cannot be resumed."""


class WeightsError(UsageError):
    """A model file is missing, altered, or not what its name says."""


class KeyFileError(UsageError):
    """The key is missing, destroyed or malformed."""


class RecipeError(UsageError):
    """A training recipe has an unknown key or an impossible value."""


class StorageError(UsageError):
    """Object storage does not answer or refuses: no sample's fault, so the run ends and goes on with --resume."""


class BadImage(DsanonError):
    """One sample cannot be decoded; it becomes a quarantined row, never an abort."""
