"""Print the Markdown tables of all evaluations saved in a folder, the methods in the order given or found.

python benchmarks/tables.py evaluation-ztf [NAME ...]
python benchmarks/tables.py evaluation-ztf --ours evaluation-ztf/fulgor_ztf.npz
python benchmarks/tables.py evaluation-ztf/clustering --clustering
"""

from __future__ import annotations

import argparse
from pathlib import Path

from fulgor.models.evaluation.report import load_folder, report
from fulgor.models.evaluation.result import Evaluation
from fulgor.models.evaluation.suite import is_method
from fulgor.models.evaluation.tables import clustering_table, differences_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="as fulgor evaluate --out has written it")
    parser.add_argument("names", nargs="*", help="methods; by default all")
    parser.add_argument("--ours", type=Path, help="an evaluation: print its paired differences to the others alone")
    parser.add_argument("--clustering", action="store_true", help="print clustering accuracy and mutual information")
    given = parser.parse_args()
    found = load_folder(given.folder)
    names = given.names or [name for name in found if is_method(name)]
    if given.ours:
        ours = Evaluation.load(given.ours)
        print(differences_table(ours, [found[name] for name in names if name != ours.name]))
    elif given.clustering:
        print(clustering_table(found[name] for name in names))
    else:
        print(report(found, names))


if __name__ == "__main__":
    main()
