"""Where the schemas of Confluent-framed messages come from: a local folder or a schema registry."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from fulgor.errors import BrokerError, MalformedError, SettingsError

__all__ = ["SchemaFolder", "SchemaRegistry", "SchemaSource", "schema_source"]

MAX_REPLY_BYTES = 4 << 20
TIMEOUT_S = 10.0
CACHED_SCHEMAS = 256
_ACCEPT = {"Accept": "application/vnd.schemaregistry.v1+json, application/json"}


class SchemaSource(Protocol):
    """Finds a writer schema by the id that a message carries."""

    def schema(self, schema_id: int) -> bytes:
        """Return the schema's JSON.

        Raises
        ------
        MalformedError
            There is no such schema: no retry can help.
        BrokerError
            The source cannot be reached now: a retry can help.
        """
        ...


class SchemaFolder:
    """A folder with one file ``<id>.avsc`` for each schema.

    Parameters
    ----------
    folder : Path
        The folder.

    Raises
    ------
    SettingsError
        It is no folder.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SettingsError(f"the schema folder {folder} does not exist")
        self.folder = folder
        self.schema = lru_cache(maxsize=CACHED_SCHEMAS)(self._read)

    def _read(self, schema_id: int) -> bytes:
        path = self.folder / f"{schema_id}.avsc"
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise MalformedError(
                f"Confluent wire format with schema id {schema_id}, but {path} does not exist", stage="framing"
            ) from error
        except OSError as error:
            raise BrokerError(f"cannot read the schema {path}: {error.strerror}") from error


class SchemaRegistry:
    """A schema registry reached over HTTP.

    Parameters
    ----------
    url : str
        Its address; ``https://user:password@host`` sends them as basic authentication. They never
        appear in an error.
    timeout : float
        Seconds to wait for an answer.

    Raises
    ------
    SettingsError
        The address is not of http or https.
    """

    def __init__(self, url: str, timeout: float = TIMEOUT_S) -> None:
        try:
            parts = urllib.parse.urlsplit(url)
            port = f":{parts.port}" if parts.port else ""
        except ValueError as error:
            raise SettingsError("the schema registry's address cannot be read") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError("the schema registry's address has to start with http:// or https:// and a host")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.address = f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"
        self.timeout = timeout
        self._authorization: str | None = None
        if parts.username is not None:
            pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            self._authorization = "Basic " + base64.b64encode(pair.encode()).decode()
        self.schema = lru_cache(maxsize=CACHED_SCHEMAS)(self._fetch)

    def _fetch(self, schema_id: int) -> bytes:
        reply = self._get(f"{self.address}/schemas/ids/{schema_id}", schema_id)
        try:
            answer = json.loads(reply)
            schema, kind, references = answer["schema"], answer.get("schemaType", "AVRO"), answer.get("references")
        except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
            raise BrokerError(f"the schema registry {self.address} gave no schema for id {schema_id}") from error
        if kind != "AVRO" or references or not isinstance(schema, str):
            what = f"a {kind} schema" if kind != "AVRO" else "a schema with references to others"
            raise MalformedError(f"schema id {schema_id} is {what}, which is not read", stage="framing")
        return schema.encode()

    def _get(self, url: str, schema_id: int) -> bytes:
        request = urllib.request.Request(url, headers=_ACCEPT)  # noqa: S310  # the scheme was checked
        if self._authorization is not None:  # for this address alone, wherever it redirects to
            request.add_unredirected_header("Authorization", self._authorization)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as reply:  # noqa: S310
                body: bytes = reply.read(MAX_REPLY_BYTES + 1)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == http.HTTPStatus.NOT_FOUND:
                    raise MalformedError(
                        f"the schema registry {self.address} has no schema id {schema_id}", stage="framing"
                    ) from None
                raise BrokerError(f"the schema registry {self.address} answers {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException) as error:
            raise BrokerError(f"the schema registry {self.address} cannot be reached: {error}") from None
        if len(body) > MAX_REPLY_BYTES:
            raise BrokerError(f"the schema registry {self.address} answered with more than {MAX_REPLY_BYTES} bytes")
        return body


def schema_source(where: str) -> SchemaSource:
    """Return the source that a setting names: an ``http(s)://`` address or a folder."""
    return SchemaRegistry(where) if where.startswith(("http://", "https://")) else SchemaFolder(Path(where))
