"""Errors a user can act on.

Every message names the file, plate or well it is about and says what to do. The workflow prints such an
error as one line; anything else is a bug and keeps its traceback.
"""


class CampfireError(Exception):
    """Base of all errors with a remedy in the message."""


class ConfigError(CampfireError):
    """The configuration or a sheet is wrong."""


class DataError(CampfireError):
    """An input file is missing, unreadable, incomplete or altered."""


class SplitError(CampfireError):
    """Plates, wells or compounds do not suffice for the split that was asked for."""


class WeightsError(CampfireError):
    """Model weights are missing or do not fit the model."""
