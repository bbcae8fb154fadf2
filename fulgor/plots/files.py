"""Figures into files."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from fulgor.errors import DiskFullError, SettingsError, is_out_of_space

__all__ = ["write_figure"]

_DPI = 100


def write_figure(figure: Figure, path: Path, *, dpi: int = _DPI) -> None:
    """Write a figure in the format that the file's name ends with.

    Parameters
    ----------
    figure : Figure
        What to write.
    path : Path
        The file.
    dpi : int
        Pixels per inch, of formats made of pixels.

    Raises
    ------
    DiskFullError, SettingsError
        The file cannot be written, or is of no such format.
    """
    try:
        figure.savefig(path, dpi=dpi)
    except OSError as error:
        if is_out_of_space(error):
            path.unlink(missing_ok=True)
            raise DiskFullError(f"{path}: no space left for the picture") from error
        raise SettingsError(f"{path} cannot be written: {error.strerror}; give another place with --out") from error
    except ValueError as error:  # its only way to say that it does not know the format
        raise SettingsError(f"{path}: {error}") from error
