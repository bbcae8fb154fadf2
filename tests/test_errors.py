"""The errors that all layers share."""

from __future__ import annotations

import errno
import os
import shutil

import pytest
from safetensors import SafetensorError

from fulgor.errors import is_out_of_space


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), True),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), True),
        (OSError(errno.EFBIG, os.strerror(errno.EFBIG)), True),
        (OSError(errno.EACCES, os.strerror(errno.EACCES)), False),
        (OSError(errno.EACCES, os.strerror(errno.EACCES), f"/data/{os.strerror(errno.ENOSPC)}"), False),
        (SafetensorError(f"Error while serializing: I/O error: {os.strerror(errno.ENOSPC)} (os error 28)"), True),
        (SafetensorError("Error while deserializing header"), False),
        (shutil.Error([("a", "b", str(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))]), True),
        (shutil.Error([("a", "b", str(OSError(errno.EACCES, os.strerror(errno.EACCES))))]), False),
    ],
)
def test_a_full_disk_is_known_by_its_number_or_its_words(error: Exception, expected: bool):
    assert is_out_of_space(error) is expected
