"""All service benchmarks in one go: `make bench`.

Without --bootstrap and --database it starts the embedded broker and a temporary Postgres; the embedded broker keeps
create times only, so latency there is from create to commit. Quote figures taken on Apache Kafka.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from fulgor.embedded.broker import EmbeddedBroker
from fulgor.embedded.postgres import EmbeddedPostgres

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap")
    parser.add_argument("--database")
    parser.add_argument("--count", type=int, default=4000, help="simulated alerts, all of one night")
    parser.add_argument("--kills", type=int, default=5)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fulgor-bench-")))
        bootstrap = arguments.bootstrap or stack.enter_context(EmbeddedBroker()).bootstrap
        database = arguments.database or stack.enter_context(EmbeddedPostgres.temporary(work / "postgres")).url()
        archive = work / "night"
        simulate = ["simulate", "ztf", "--count", str(arguments.count), "--seed", "78", "--nights", "1"]
        run("-m", "fulgor", *simulate, "--out", str(archive))
        where = ["--bootstrap", bootstrap, "--database", database, "--archive", str(archive)]
        run(str(HERE / "live.py"), *where)
        run(str(HERE / "kills.py"), *where, "--kills", str(arguments.kills))


def run(*command: str) -> None:
    subprocess.run([sys.executable, *command], check=True)


if __name__ == "__main__":
    main()
