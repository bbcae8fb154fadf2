"""``python -m fulgor``: the console script."""

from fulgor.cli import main

main()
