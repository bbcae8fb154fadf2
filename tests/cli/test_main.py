import subprocess
import sys

import pytest

from fulgor.cli import reported
from fulgor.errors import DatabaseError

LOADING = """
import sys

class Interrupted:
    def find_spec(self, name, path=None, target=None):
        if name == "fulgor.cli.app":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
import fulgor.__main__
"""


def test_a_ctrl_c_while_the_program_loads_shows_no_traceback():
    done = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize(
    ("raised", "code", "said"), [(KeyboardInterrupt, 130, ""), (DatabaseError("away"), 5, "fulgor: away\n")]
)
def test_what_ends_a_command_becomes_its_exit_code(raised, code, said, capsys):
    with pytest.raises(SystemExit) as ended, reported():
        raise raised
    assert ended.value.code == code
    assert capsys.readouterr().err == said
