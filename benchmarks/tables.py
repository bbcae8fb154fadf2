"""Print the Markdown tables of all evaluations saved in a folder, the methods in the order given or found.

python benchmarks/tables.py evaluation-ztf [NAME ...]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fulgor.models.evaluation.report import load_folder, report
from fulgor.models.evaluation.suite import is_method


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="as fulgor evaluate --out has written it")
    parser.add_argument("names", nargs="*", help="methods; by default all")
    given = parser.parse_args()
    found = load_folder(given.folder)
    print(report(found, given.names or [name for name in found if is_method(name)]))


if __name__ == "__main__":
    main()
