"""Settings: flags, then environment (``FULGOR_...``), then a config file, then the defaults here.

Each error names where the value came from. This is the only place where a default lives.

The config file is TOML: ``--config``, else ``FULGOR_CONFIG``, else ``fulgor.toml`` in the working
folder, else ``~/.config/fulgor/fulgor.toml``. Its table ``[kafka]`` and variables
``FULGOR_KAFKA_SASL_USERNAME`` (for ``sasl.username``) pass through to librdkafka.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from fulgor.errors import SettingsError

__all__ = ["Settings", "config_path", "load_settings", "load_with_origins"]

_KAFKA_PREFIX = "FULGOR_KAFKA_"
# Not settings of this class: where things are found before there are settings.
_OTHER_VARIABLES = {"FULGOR_CONFIG", "FULGOR_HOME"}
_SECRET_WORDS = ("password", "secret", "ssl.key.pem", "oauthbearer.config")


class Settings(BaseModel):
    """Everything that a consumer can be told.

    The environment variable of a field is its name in capitals behind ``FULGOR_``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bootstrap: str = Field("127.0.0.1:9092", description="Kafka bootstrap servers, host:port[,host:port]")
    database: str | None = Field(None, description="Postgres URL; default: the embedded one ('fulgor db up')")
    topic: str | None = Field(
        None, description="topic name, or a pattern that begins with ^; default: the stream's name"
    )
    group: str | None = Field(None, description="consumer group; default: fulgor-STREAM")
    start: str = Field("earliest", description="where to begin if nothing is stored: earliest, latest or an ISO time")
    group_protocol: Literal["auto", "consumer", "classic"] = Field(
        "auto", description="consumer is KIP-848; auto takes it where the broker has it"
    )
    session_timeout_ms: int = Field(
        10_000, ge=1000, le=3_600_000, description="silence after which the broker gives a consumer's partitions away"
    )
    batch_size: int = Field(256, ge=1, le=8192, description="items in a full micro-batch")
    deadline_ms: int = Field(25, ge=1, le=60_000, description="longest time that a message waits for its batch to fill")
    inbox_mb: int = Field(
        64, ge=1, le=65_536, description="bytes of messages in flight before partitions are paused, in MiB"
    )
    drain_s: float = Field(20.0, gt=0, le=240, description="longest time to finish work when partitions are revoked")
    database_patience_s: float = Field(300.0, ge=0, description="how long to wait for a database that went away")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the model runs")
    threads: int = Field(1, ge=1, le=256, description="threads of the model on a CPU")
    model: Path | None = Field(None, description="folder of a model to stay with; default: the live one, followed")
    model_store: Path | None = Field(
        None, description="folder in which this machine keeps models; default: models in the user data folder"
    )
    metrics_port: int | None = Field(
        None, ge=0, le=65_535, description="port of the Prometheus end point; none by default"
    )
    alerts_to: str | None = Field(None, description="topic that scored anomalies are sent to after their commit")
    alerts_above: float = Field(0.99, ge=0, le=1, description="least anomaly of an alert that is sent there")
    nodes: Path | None = Field(None, description="JSON list of LEELA's receivers; chunks of others are flagged")
    edge_slowness: float | None = Field(
        None, gt=0.9, lt=1.1, description="speed of light over that of LEELA's pulses' edges; default: as simulated"
    )
    wave_slowness: float | None = Field(
        None, gt=0.9, lt=1.1, description="speed of light over that of the waves beneath; default: as simulated"
    )
    recordings: Annotated[tuple[Path, ...], BeforeValidator(lambda value: _paths(value))] = Field(
        (), description="recordings in which the job late-history looks for messages; in the environment by colons"
    )
    schemas: str | None = Field(None, description="schema registry URL or folder, for Confluent-framed messages")
    kafka: dict[str, str | int | float | bool] = Field(default_factory=dict, description="passed to librdkafka")


def _paths(value: object) -> object:
    """Return what the environment gives in the form of a search path as a list."""
    return [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value


def config_path(given: Path | None = None) -> Path | None:
    """Return the config file to read, or None where there is none.

    Raises
    ------
    SettingsError
        A file that was asked for does not exist.
    """
    asked = given or (Path(value) if (value := os.environ.get("FULGOR_CONFIG")) else None)
    if asked is not None:
        if not asked.is_file():
            raise SettingsError(
                f"config file {asked} does not exist (asked for by {'--config' if given else 'FULGOR_CONFIG'})"
            )
        return asked
    usual = (Path("fulgor.toml"), Path.home() / ".config" / "fulgor" / "fulgor.toml")
    return next((path for path in usual if path.is_file()), None)


def load_settings(
    flags: Mapping[str, Any] | None = None, *, config: Path | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """Merge the sources and check the result.

    Parameters
    ----------
    flags : mapping
        Values given on the command line; None means not given.
    config : Path, optional
        Config file asked for.
    environment : mapping, optional
        Default: the process's.

    Raises
    ------
    SettingsError
        A value cannot be used; the message says where it came from.
    """
    return load_with_origins(flags, config=config, environment=environment)[0]


def load_with_origins(
    flags: Mapping[str, Any] | None = None, *, config: Path | None = None, environment: Mapping[str, str] | None = None
) -> tuple[Settings, dict[str, str]]:
    """Return the settings as :func:`load_settings` does, and where each one that is no default came from."""
    path = config_path(config)
    layers = [
        _from_file(path),
        _from_environment(os.environ if environment is None else environment),
        _from_flags(flags or {}),
    ]
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    kafka: dict[str, Any] = {}
    for layer in layers:
        for name, (value, origin) in layer.items():
            if name == "kafka" and isinstance(value, Mapping):
                kafka |= value
                merged[name] = kafka
                origins[name] = f"{origins[name]} and {origin}" if name in origins else origin
            else:
                merged[name] = value
                origins[name] = origin
    try:
        return Settings(**merged), origins
    except ValidationError as error:
        raise SettingsError(_explain(error, origins)) from None


Layer = dict[str, tuple[Any, str]]


def _from_flags(flags: Mapping[str, Any]) -> Layer:
    given = {name: value for name, value in flags.items() if value is not None}
    if database := given.get("database"):
        _refuse_password(str(database))
    for name in given.get("kafka", {}):
        if any(word in name for word in _SECRET_WORDS):
            variable = _KAFKA_PREFIX + name.upper().replace(".", "_")
            raise SettingsError(f"--kafka {name}: a secret on the command line is visible to everybody; set {variable}")
    return {name: (value, _flag(name)) for name, value in given.items()}


def _flag(name: str) -> str:
    return "--from" if name == "start" else "--" + name.replace("_", "-")


def _refuse_password(database: str) -> None:
    try:
        parts = conninfo_to_dict(database)
    except ProgrammingError as error:
        raise SettingsError(f"--database: not a Postgres URL: {error}") from None
    if parts.get("password"):
        raise SettingsError(
            "--database: a password on the command line is visible to everybody;"
            " set FULGOR_DATABASE or PGPASSWORD, or use a ~/.pgpass file"
        )


def _from_environment(environment: Mapping[str, str]) -> Layer:
    layer: Layer = {}
    kafka: dict[str, Any] = {}
    for variable, value in environment.items():
        if variable.startswith(_KAFKA_PREFIX):
            kafka[variable.removeprefix(_KAFKA_PREFIX).lower().replace("_", ".")] = value
        elif variable.startswith("FULGOR_") and variable not in _OTHER_VARIABLES:
            name = variable.removeprefix("FULGOR_").lower()
            if name in Settings.model_fields:
                layer[name] = (value, f"environment variable {variable}")
    if kafka:
        layer["kafka"] = (kafka, "environment variables FULGOR_KAFKA_...")
    return layer


def _from_file(path: Path | None) -> Layer:
    if path is None:
        return {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"config file {path}: {error}") from None
    if isinstance(values.get("kafka"), dict):
        values["kafka"] = _flatten(values["kafka"])
    return {name: (value, f"config file {path}") for name, value in values.items()}


def _flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return ``{'sasl': {'username': u}}`` as ``{'sasl.username': u}``: TOML reads unquoted dots as tables."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_input=True):
        name = str(problem["loc"][0]) if problem["loc"] else "?"
        origin = origins.get(name, "default")
        if problem["type"] == "extra_forbidden":
            known = ", ".join(sorted(Settings.model_fields))
            lines.append(f"unknown setting '{name}' (from {origin}); known are: {known}")
        else:
            shown = "" if name in {"kafka", "database"} else f" = {problem['input']!r}"
            lines.append(f"{name}{shown} (from {origin}): {problem['msg']}")
    return "; ".join(lines)
