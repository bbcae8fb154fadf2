"""The ruler: folds that never move, figures with intervals, and what any model must beat.

====================  =======================================================================
:mod:`folds`          which objects are tested together, frozen before any training
:mod:`metrics`        figures from labels and probabilities
:mod:`bootstrap`      intervals of those figures over objects, and of paired differences
:mod:`alerts`         the alerts to measure on, also with shorter histories or blanked features
:mod:`rulers`         classifiers of metadata, history counts and provenance alone (scikit-learn)
:mod:`validation`     one way to measure any method: fit, predict, keep every probability
:mod:`result`         what is kept, and paired differences of two methods
:mod:`served`         a model that was trained elsewhere, on alerts its card does not list as used
:mod:`suite`          what is always measured together
:mod:`tables`         Markdown tables; :mod:`report` puts them together
====================  =======================================================================
"""

from fulgor.models.evaluation.bootstrap import Bootstrap, Interval
from fulgor.models.evaluation.folds import Split, inner_splits, outer_folds, reference_objects, splits
from fulgor.models.evaluation.metrics import summary

__all__ = [
    "Bootstrap",
    "Interval",
    "Split",
    "inner_splits",
    "outer_folds",
    "reference_objects",
    "splits",
    "summary",
]
