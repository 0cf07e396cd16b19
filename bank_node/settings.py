"""The node's settings: `node.toml` in the home folder, overridden by environment variables BANK_NODE_*."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from bank_node.errors import SettingsInvalid
from bank_node.home import Home
from protocol.findings import explained
from protocol.ids import Name

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_PREFIX = "BANK_NODE_"
#: Environment variables with the prefix that are no settings: options of the command line read them.
_OPTIONS = frozenset({"HOME", "TOKEN"})


def _require_address(value: str) -> str:
    if re.fullmatch(r"https?://\S+", value) is None:
        raise ValueError("expected an address that begins with http:// or https://")
    return value


class DatasetSettings(BaseModel):
    """Where a plan's dataset lies in this bank.

    Attributes:
        path: CSV or Parquet file; relative paths count from the home folder.
        format: by the file's ending unless said.
        rename: column in the file → column as plans call it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    format: Literal["auto", "csv", "parquet"] = "auto"
    rename: dict[str, str] = Field(default_factory=dict)


class NodeSettings(BaseSettings):
    """Everything that the node can be told from outside; the bank's policy has a file of its own.

    Attributes:
        url: the service's address.
        name: the bank's name in the consortium.
        datasets: name in plans → file.
        threads: threads for encryption; the learning kernels take as many.
        long_poll_s: how long one question for work may wait, in seconds.
        max_reply_bytes: the longest answer of the service that is read; no more is held in memory.
        keep_silent_days: days without a word of a training after which its keys are destroyed here.
        connect_timeout_s: seconds until a connection attempt is given up (and tried again).
        ca_file: certificates to trust instead of the system's, for a private CA.
        client_certificate: PEM file with certificate and key, where the service asks for mutual TLS.
        passphrase: opens the keystore; better given in the environment than in the file.
        key_file: opens the keystore instead; `keystore.key` in the home folder by default.
        log_level: of the node's log on standard error.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    url: Annotated[str, AfterValidator(_require_address)]
    name: Name
    datasets: dict[Name, DatasetSettings] = Field(default_factory=dict)
    threads: int = Field(default=1, ge=1, le=256)
    long_poll_s: float = Field(default=20.0, ge=0, le=60)
    connect_timeout_s: float = Field(default=10.0, gt=0)
    max_reply_bytes: int = Field(default=64 << 20, ge=1 << 16)
    keep_silent_days: float = Field(default=30.0, gt=0)
    ca_file: Path | None = None
    client_certificate: Path | None = None
    passphrase: SecretStr | None = None
    key_file: Path | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, which `load_settings` passes in."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


def load_settings(home: Home, **defaults: str) -> NodeSettings:
    """Reads the settings of a node.

    Args:
        home: its folder.
        defaults: settings for which neither the file nor the environment has a value.

    Raises:
        SettingsInvalid: the file does not parse, or a field or an environment variable is unknown or wrong; every one
            is named.
    """
    try:
        written = TomlConfigSettingsSource(NodeSettings, home.settings)() if home.settings.exists() else {}
    except ValueError as error:  # tomllib.TOMLDecodeError is one
        raise SettingsInvalid(f"{home.settings}: not TOML: {error}") from error
    _refuse_unknown_variables(os.environ)
    try:
        return NodeSettings(**{**defaults, **written})
    except ValidationError as error:
        raise SettingsInvalid(describe_invalid(str(home.settings), error, NodeSettings, DatasetSettings)) from error


def _refuse_unknown_variables(names: Iterable[str]) -> None:
    """pydantic-settings reads the variables that it knows, and would pass over one with a typing error in silence."""
    known = {name.upper() for name in NodeSettings.model_fields} | _OPTIONS
    for name in sorted(names):
        setting = name.upper().removeprefix(_PREFIX)
        if not name.upper().startswith(_PREFIX) or setting in known or setting.startswith("DATASETS__"):
            continue
        advice = _advice(setting, known, _PREFIX)
        raise SettingsInvalid(f"environment variable {name}: the node has no such setting; {advice}")


def _advice(given: str, known: Iterable[str], prefix: str = "") -> str:
    close = difflib.get_close_matches(given, known, n=1)
    expected = ", ".join(prefix + one for one in sorted(known))
    return f"did you mean {prefix}{close[0]}?" if close else f"expected one of {expected}"


def describe_invalid(where: str, error: ValidationError, *models: type[BaseModel]) -> str:
    """A clause a field, without the values: they may be secret.

    Args:
        where: the file, or what else was read.
        error: what is wrong.
        models: of the file and its tables, whose fields may have been meant.
    """
    known = {name for model in models for name in model.model_fields}
    return f"{where}: " + "; ".join(_clause(item, known) for item in error.errors())


def _clause(item: ErrorDetails, known: Iterable[str]) -> str:
    field = ".".join(map(str, item["loc"])) or "file"
    if item["type"] == "extra_forbidden":
        return f"{field}: there is no such setting; {_advice(str(item['loc'][-1]), known)}"
    return f"{field}: {explained(item)}"


def settings_toml(url: str, name: str, data: Path | None, dataset: str = "transactions") -> str:
    """The text of a first `node.toml`, with every setting that people usually change."""

    def quoted(value: object) -> str:
        return json.dumps(str(value))  # a JSON string is a TOML basic string

    lines = [
        "# Settings of this bank's node; each can be overridden by BANK_NODE_<NAME> in the environment.",
        f"url = {quoted(url)}",
        f"name = {quoted(name)}",
        "# threads = 2            # for encryption and learning",
        '# key_file = "keystore.key"  # or BANK_NODE_PASSPHRASE in the environment',
        '# ca_file = "/etc/ssl/consortium-ca.pem"',
    ]
    if data is not None:
        lines += ["", f"[datasets.{dataset}]", f"path = {quoted(data)}", "# rename = { tx_id = 'TRANSACTION_ID' }"]
    return "\n".join(lines) + "\n"
