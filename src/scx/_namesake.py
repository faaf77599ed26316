"""The other package on PyPI that is imported as ``scx``."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import PurePosixPath


def warn_of_namesake() -> None:
    """Warn if the distribution named ``scx``, which is not ours, has written into our folder.

    Both have a file ``scx/__init__.py``, and the one installed last overwrites that of the other.
    """
    try:
        other = distribution("scx")
    except PackageNotFoundError:
        return
    # Earlier versions of this package had the name too; installed as editable, they own no file.
    if PurePosixPath("scx/__init__.py") not in (other.files or ()):
        return
    from scx._checks import warn  # loads numpy and pandas

    warn(
        f"The distribution `scx` {other.version} is installed, another package that uses the same folder as `scx-tools`. "
        "Install only one of them. To keep this package, run `pip uninstall scx`, and then "
        "`pip install --force-reinstall --no-deps scx-tools`."
    )
