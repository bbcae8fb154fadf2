"""Each start-up and access error as a user sees it, made by running the command line: writes docs/errors.md.

    python benchmarks/errors.py --kafka ../shared/kafka/kafka-server

It ends with code 1 if a command leaves with another code than the error tree says, prints a traceback or more than one
error, or tells a password.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from confluent_kafka.admin import AdminClient, NewTopic

from fulgor import errors
from fulgor.embedded.postgres import EmbeddedPostgres
from fulgor.models.serving import SHIPPED
from fulgor.storage.database import connect
from fulgor.storage.migrate import migrate
from fulgor.streams.registry import instrument_names, stream_table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "errors.md"
WRONG = "nonsense-4711"
SECRETS = (WRONG, "hunter2")
HEAD = """# What an error looks like

Every message below was printed by a real command; the page is made anew by

    python benchmarks/errors.py --kafka SCRIPT

where SCRIPT starts an Apache Kafka with SCRAM users. Names of hosts, ports and folders were replaced:
`broker:9092` is a plain listener, `broker:9094` one with SCRAM users, `broker:9095` one with SCRAM users over TLS.
Commands are `fulgor consume ztf` unless it says otherwise; one line goes to standard error, and the exit code tells
scripts what kind of error it was.
"""


@dataclass(frozen=True)
class Case:
    """One mistake: what is typed and set, and the error that it must end with."""

    title: str
    error: type[errors.FulgorError]
    words: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    config: str = ""
    database: str | None = None
    command: tuple[str, ...] = ("consume", "ztf")


@dataclass(frozen=True)
class Place:
    """The servers and files that the cases need."""

    work: Path
    plain: str
    sasl: str
    tls: str
    ca: str
    database: str

    def beside(self, name: str) -> str:
        """Return the URL of another database on the same server, made if it is not there."""
        url = urlunsplit(urlsplit(self.database)._replace(path=f"/{name}", query=""))
        with psycopg.connect(self.database, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                connection.execute(f"CREATE DATABASE {name}")
        return url

    def shown(self, text: str) -> str:
        """Return text with what differs from run to run replaced."""
        parts = urlsplit(self.database)
        for found, name in (
            (self.sasl, "broker:9094"), (self.tls, "broker:9095"), (self.plain, "broker:9092"),
            (f"{parts.hostname}:{parts.port}", "db:5432"), (str(self.work), "~"),
            (f"port {parts.port} failed", "port 5432 failed"), (str(parts.password), "..."),
        ):  # fmt: skip
            text = text.replace(found, name)
        return text


def broker_cases(place: Place) -> Iterator[Case]:
    scram = {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "fulgor"}
    right, wrong = {"FULGOR_KAFKA_SASL_PASSWORD": "secret"}, {"FULGOR_KAFKA_SASL_PASSWORD": WRONG}

    def at(bootstrap: str, protocol: str, **more: str) -> tuple[str, ...]:
        kafka = (
            scram | {"security.protocol": protocol} | {name.replace("_", "."): value for name, value in more.items()}
        )
        pairs = [word for name, value in kafka.items() for word in ("--kafka", f"{name}={value}")]
        return ("--bootstrap", bootstrap, "--topic", "alerts", *pairs)

    stranger = place.work / "other-ca.pem"
    broker = errors.BrokerError
    yield Case("nothing answers at the broker's address", broker, ("--bootstrap", "127.0.0.1:1"))
    yield Case("the broker's host is unknown", broker, ("--bootstrap", "no.such.host.invalid:9092"))
    yield Case("wrong SCRAM password", broker, at(place.sasl, "SASL_PLAINTEXT"), wrong)
    yield Case("wrong SCRAM password over TLS", broker, at(place.tls, "SASL_SSL", ssl_ca_location=place.ca), wrong)
    yield Case("no password at all", errors.SettingsError, at(place.sasl, "SASL_PLAINTEXT"))
    yield Case(
        "wrong SASL mechanism", broker, (*at(place.sasl, "SASL_PLAINTEXT"), "--kafka", "sasl.mechanism=PLAIN"), right
    )
    yield Case("no certificate authority", broker, at(place.tls, "SASL_SSL"), right)
    yield Case(
        "the wrong certificate authority", broker, at(place.tls, "SASL_SSL", ssl_ca_location=str(stranger)), right
    )
    yield Case(
        "the authority's file is absent",
        errors.SettingsError,
        at(place.tls, "SASL_SSL", ssl_ca_location="/no/ca.pem"),
        right,
    )
    yield Case("TLS to a port without it", broker, at(place.sasl, "SASL_SSL", ssl_ca_location=place.ca), right)
    yield Case("no TLS to a port with it", broker, at(place.tls, "SASL_PLAINTEXT"), right)
    yield Case("no user where one is wanted", broker, ("--bootstrap", place.sasl))
    yield Case("no such topic", errors.TopicError, ("--bootstrap", place.plain, "--topic", "no_such_topic"))
    yield Case(
        "Perl's digits in a pattern",
        errors.TopicError,
        ("--bootstrap", place.plain, "--topic", r"^ztf_\d{8}_programid1$"),
    )
    yield Case(
        "a setting that KIP-848 leaves to the broker",
        errors.SettingsError,
        ("--bootstrap", place.plain, "--topic", "alerts", "--kafka", "session.timeout.ms=9000"),
    )
    yield Case(
        "a setting that is fulgor's own",
        errors.SettingsError,
        ("--bootstrap", place.plain, "--topic", "alerts", "--kafka", "enable.auto.commit=true"),
    )
    yield Case(
        "a setting that librdkafka does not know",
        errors.SettingsError,
        ("--bootstrap", place.plain, "--kafka", "fetch.mx.bytes=1"),
    )


def database_cases(place: Place) -> Iterator[Case]:
    parts = urlsplit(place.database)
    wrong = urlunsplit(parts._replace(netloc=parts.netloc.replace(str(parts.password), WRONG)))
    bare, newer, older = (place.beside(name) for name in ("bare", "newer", "older"))
    with connect(newer, vectors=False) as connection:
        migrate(connection, [stream_table(name) for name in instrument_names()])
        connection.execute("INSERT INTO fulgor.migration (component, version) VALUES ('core', 99)")
    with connect(older, vectors=False) as connection:
        connection.execute("CREATE EXTENSION vector")
    away = "postgresql://me:hunter2@127.0.0.1:1/alerts"
    yield Case("nothing answers at the database's address", errors.DatabaseError, database=away)
    yield Case("no such database", errors.DatabaseError, database=urlunsplit(parts._replace(path="/no_such")))
    yield Case("wrong database password", errors.DatabaseError, database=wrong)
    yield Case("a database without pgvector", errors.DatabaseError, database=bare)
    yield Case("no tables", errors.SchemaVersionError, database=older)
    yield Case("tables of a newer fulgor", errors.SchemaVersionError, database=newer)
    yield Case("no database named, and the embedded one does not run", errors.EmbeddedServiceError, database="")


def model_cases(place: Place) -> Iterator[Case]:
    damaged, other = place.work / "damaged-model", place.work / "other-model"
    for folder in (damaged, other):
        shutil.copytree(SHIPPED / "ztf", folder)
    onnx = bytearray((damaged / "model.onnx").read_bytes())
    onnx[len(onnx) // 2] ^= 1
    (damaged / "model.onnx").write_bytes(onnx)
    card = json.loads((other / "card.json").read_text())
    (other / "card.json").write_text(json.dumps(card | {"preprocessing_hash": "0123456789abcdef"}))
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    yield Case("no model in the folder", errors.ModelError, ("--model", str(place.work / "nothing")))
    yield Case("a damaged model", errors.ModelError, ("--model", str(damaged)))
    yield Case("a model whose card was changed", errors.ModelError, ("--model", str(other)))
    yield Case("no GPU", errors.DeviceError, ("--device", "cuda"), hidden)


def setting_cases(place: Place) -> Iterator[Case]:
    wrong = errors.SettingsError
    yield Case("a flag's value", wrong, ("--batch-size", "0"))
    yield Case("an environment variable's value", wrong, environment={"FULGOR_BATCH_SIZE": "many"})
    yield Case("a value in the config file", wrong, config="batch_size = -1")
    yield Case("an unknown name in the config file", wrong, config="batchsize = 64")
    yield Case("a config file that is no TOML", wrong, config="batch_size 64")
    yield Case("a config file that is not there", wrong, ("--config", str(place.work / "nothing.toml")))
    yield Case("a password in an argument", wrong, ("--database", "postgresql://me:hunter2@db/alerts"))
    yield Case("a secret in an argument", wrong, ("--kafka", "sasl.password=hunter2"))
    yield Case("a start that is no time", wrong, ("--from", "yesterday"))
    yield Case("no such stream", wrong, command=("consume", "ztff"))


def archive_cases(place: Place) -> Iterator[Case]:
    (place.work / "empty-folder").mkdir()
    (place.work / "notes.txt").write_text("not an alert\n")
    for title, name in (
        ("nothing there", "nothing.tar.gz"),
        ("an empty folder", "empty-folder"),
        ("no archive", "notes.txt"),
    ):
        yield Case(title, errors.ArchiveError, ("--archive", str(place.work / name)))


GROUPS = {
    "Broker and topic": broker_cases, "Database": database_cases, "Model and device": model_cases,
    "Settings": setting_cases, "Archive": archive_cases,
}  # fmt: skip


def run(place: Place, case: Case) -> tuple[str, list[str]]:
    """Run a case; return how it is shown, and what is wrong with it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FULGOR_", "PG"))}
    database = place.database if case.database is None else case.database
    own = {"FULGOR_HOME": str(place.work / "home"), "HOME": str(place.work)} | (
        {"FULGOR_DATABASE": database} if database else {}
    )
    words = list(case.words)
    if case.config:
        (place.work / "mine.toml").write_text(case.config + "\n")
        words += ["--config", str(place.work / "mine.toml")]
    done = subprocess.run(
        [sys.executable, "-m", "fulgor", *case.command, *words],
        env=kept | own | case.environment, cwd=place.work, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if line.startswith("fulgor: ")]
    wrong = {
        f"code {done.returncode} instead of {case.error.exit_code}": done.returncode != case.error.exit_code,
        "a traceback": "Traceback" in done.stderr,
        f"{len(said)} errors": len(said) != 1,
        "it tells a password": any(secret in done.stdout + done.stderr for secret in SECRETS),
    }
    return _section(place, case, words, said), [
        f"{case.title}: {what}\n{done.stderr}" for what, is_so in wrong.items() if is_so
    ]


def _section(place: Place, case: Case, words: list[str], said: list[str]) -> str:
    typed = [*case.command, *words] if case.command != ("consume", "ztf") else words
    set_up = " ".join(
        f"{name}={'...' if 'PASSWORD' in name else repr(value)}" for name, value in case.environment.items()
    )
    shown = place.shown(
        re.sub(r"hunter2|" + WRONG, "...", " ".join(word if " " not in word else repr(word) for word in typed))
    )
    lines = [f"**{case.title}** (exit code {case.error.exit_code})", ""]
    lines += [f"    # mine.toml: {case.config}"] if case.config else []
    lines += [f"    {' '.join(filter(None, [set_up, shown]))}"] if set_up or shown else []
    return "\n".join([*lines, *(f"    {place.shown(line)}" for line in said), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kafka", required=True, help="script that starts a broker with SCRAM users")
    parser.add_argument("--out", type=Path, default=PAGE)
    arguments = parser.parse_args()
    page, wrong = [HEAD], []
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fulgor-errors-")))
        stack.callback(subprocess.run, [arguments.kafka, "wipe", work / "kafka"], check=False)
        started = subprocess.run(
            [arguments.kafka, "up", work / "kafka", "--sasl"], check=True, capture_output=True, text=True
        )
        plain, *secured = started.stdout.split()
        alerts = [NewTopic("alerts", 1, 1)]
        admin = AdminClient({"bootstrap.servers": plain})
        admin.create_topics(alerts)["alerts"].result(30)
        sasl, tls = (address.split("=")[1] for address in secured)
        url = stack.enter_context(EmbeddedPostgres.temporary(work / "postgres")).url()
        with connect(url, vectors=False) as connection:
            migrate(connection, [stream_table(name) for name in instrument_names()])
        stranger = ["-subj", "/CN=stranger", "-keyout", work / "other.key", "-out", work / "other-ca.pem"]
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *stranger], check=True, capture_output=True
        )
        place = Place(work, plain, sasl, tls, str(work / "kafka" / "ca.pem"), url)
        for title, cases in GROUPS.items():
            page.append(f"## {title}\n")
            for case in cases(place):
                section, found = run(place, case)
                page.append(section)
                wrong += found
    arguments.out.write_text("\n".join(page))
    for what in wrong:
        print(f"WRONG: {what}", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
