"""What an operator can set, by environment variables with the prefix ``CONSORTIUM_`` or on the command line.

With nothing set everything runs in one process: SQLite, a local folder of blobs, and an embedded worker.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MEBIBYTE = 1 << 20
PREFIX = "CONSORTIUM_"
#: Not the service's: where the command finds it, and with which token.
CLIENTS = ("URL", "TOKEN")


def _require_redis(value: SecretStr) -> SecretStr:
    scheme, colon, _ = value.get_secret_value().partition(":")
    if value.get_secret_value() and not (colon and scheme in {"redis", "rediss"}):
        raise ValueError("expected redis://host:port/number or rediss://…, or nothing for an embedded worker")
    return value


class Settings(BaseSettings):
    """The service's and the workers' settings.

    Attributes:
        name: the consortium's name, shown to the banks.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        data_dir: folder of the database and the blobs, where no other place is named.
        database_url: SQLAlchemy URL; empty for SQLite in `data_dir`.
        redis_url: broker and notifications; empty for an embedded worker.
        blob_url: ``s3://bucket/prefix?endpoint_url=…`` or ``file:///folder``; empty for a folder in `data_dir`.
        threads: requests served at once, long polls included.
        worker_concurrency: tasks at once in one worker; 0 takes as many as there are processors.
        max_json_bytes: largest JSON body.
        max_upload_bytes: largest contribution or share.
        inline_bytes: bodies up to this size are kept in the database.
        check_at_once_bytes: contributions up to this size are checked within the request, larger ones by a worker.
        range_bytes: how much of a contribution one summing task takes.
        max_wait_s: longest long poll.
        reconcile_s: how often what a lost broker forgot is queued again.
        task_attempts: failures of a task in a row after which its training is paused with the reason.
        log_level: DEBUG, INFO, WARNING or ERROR.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid")

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")] = "consortium"
    host: str = "127.0.0.1"
    port: int = Field(default=8440, ge=0, le=65535)
    data_dir: Path = Path("consortium-data")
    database_url: SecretStr = SecretStr("")
    redis_url: Annotated[SecretStr, AfterValidator(_require_redis)] = SecretStr("")
    blob_url: str = ""
    threads: int = Field(default=64, ge=4, le=4096)
    worker_concurrency: int = Field(default=0, ge=0, le=256)
    max_json_bytes: int = Field(default=8 * MEBIBYTE, ge=65536)
    max_upload_bytes: int = Field(default=2048 * MEBIBYTE, ge=MEBIBYTE)
    inline_bytes: int = Field(default=65536, ge=0, le=MEBIBYTE)
    check_at_once_bytes: int = Field(default=2 * MEBIBYTE, ge=0, le=16 * MEBIBYTE)
    range_bytes: int = Field(default=16 * MEBIBYTE, ge=65536)
    max_wait_s: float = Field(default=55.0, ge=0, le=300)
    reconcile_s: float = Field(default=2.0, gt=0)
    task_attempts: int = Field(default=10, ge=1, le=1000)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @model_validator(mode="after")
    def _known(self) -> Self:
        """Refuses what looks like a setting and is none: a misspelt one would silently do nothing."""
        known = [*(name.upper() for name in type(self).model_fields), *CLIENTS]
        for variable in sorted(os.environ):
            name = variable.upper().removeprefix(PREFIX)
            if variable.upper().startswith(PREFIX) and name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {PREFIX}{near[0]}?" if near else "see docs/operations.md, and unset it"
                raise ValueError(f"{variable}: expected a setting of this service, got an unknown name; {hint}")
        return self

    @property
    def database(self) -> str:
        """The database's URL; may hold a password."""
        return self.database_url.get_secret_value() or f"sqlite:///{self.data_dir.absolute() / 'consortium.db'}"

    @property
    def blobs(self) -> str:
        """The blob store's URL."""
        return self.blob_url or f"file://{self.data_dir.absolute() / 'blobs'}"

    @property
    def redis(self) -> str | None:
        """The broker's URL, if there is one; may hold a password."""
        return self.redis_url.get_secret_value() or None
