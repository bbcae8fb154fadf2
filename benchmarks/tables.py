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
from fulgor.models.evaluation.tables import clustering_table, differences_table, figures_table, recall_table


def compared(ours: Evaluation, found: list[Evaluation]) -> str:
    """Return figures and recall of ours and of others, in their classes and on their alerts, and the differences."""
    others = [other for other in found if other.name != ours.name]
    rows = [ours.as_classes(others[0].classes).part(others[0].ids), *others]
    return "\n\n".join([figures_table(rows), differences_table(ours, others), recall_table(rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="as fulgor evaluate --out has written it")
    parser.add_argument("names", nargs="*", help="methods; by default all")
    parser.add_argument(
        "--ours", type=Path, help="an evaluation: print it beside the others, and by how much it is above them"
    )
    parser.add_argument("--clustering", action="store_true", help="print clustering accuracy and mutual information")
    given = parser.parse_args()
    found = load_folder(given.folder)
    names = given.names or [name for name in found if is_method(name)]
    if given.ours:
        print(compared(Evaluation.load(given.ours), [found[name] for name in names]))
    elif given.clustering:
        print(clustering_table(found[name] for name in names))
    else:
        print(report(found, names))


if __name__ == "__main__":
    main()
