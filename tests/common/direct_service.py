"""The service in this process, without HTTP: handlers are called as the registry would call them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from consortium.blobs import open_blobs
from consortium.clock import SystemClock
from consortium.db import Database
from consortium.http.call import Call
from consortium.http.route import Route
from consortium.notify.local import LocalNotifier
from consortium.queue.port import Task
from consortium.replay import LearningStates
from consortium.rounds.routes import routes as round_routes
from consortium.rounds.service import Body
from consortium.runtime import Runtime
from consortium.settings import Settings
from consortium.tasks import TASKS
from consortium.trainings.node_routes import routes as node_routes
from consortium.work import foresee_work
from protocol.messages import Accepted, Work
from protocol.statements import SignedStatement


class ListQueue:
    """Tasks wait until the test runs them: nothing happens behind its back."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def put(self, task: Task) -> None:
        self.tasks.append(task)


class TurnedClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self._system = SystemClock()
        self.ahead_s = 0.0

    def now(self) -> float:
        return self._system.now() + self.ahead_s


class DirectService:
    """A service with its database and blobs in a folder, run step by step."""

    def __init__(self, folder: Path, build: Any, *, inline_bytes: int = 65536, database_url: str = "") -> None:
        self.settings = Settings(data_dir=folder, inline_bytes=inline_bytes, database_url=database_url)
        self.clock = TurnedClock()
        self.queue = ListQueue()
        db, notifier = Database(self.settings.database), LocalNotifier()
        self.runtime = Runtime(
            db=db,
            blobs=open_blobs(self.settings.blobs),
            queue=self.queue,
            notifier=notifier,
            clock=self.clock,
            states=LearningStates(build),
            standings=foresee_work(db, notifier),
        )
        self.runtime.db.create()
        self.routes: list[Route] = [*node_routes.declared, *round_routes.declared]

    def run_tasks(self, limit: int = 1000) -> int:
        """Runs what waits, and what comes of it."""
        done = 0
        while self.queue.tasks and done < limit:
            task = self.queue.tasks.pop(0)
            TASKS[task.name](self.runtime, *task.arguments)
            done += 1
        return done

    def call(self, node: str, method: str, path: str, **parts: Any) -> Any:
        """Calls the handler of an address."""
        for route in self.routes:
            pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", route.path)
            if route.method == method and (match := re.fullmatch(pattern, f"/v1/{path}")):
                query = route.query.model_validate(parts.pop("query", {}))
                return route.handler(
                    Call(self.runtime, self.settings, route, match.groupdict(), query, node=node, **parts)
                )
        raise LookupError(path)


class DirectTransport:
    """One node's requests to a `DirectService`."""

    def __init__(self, service: DirectService, node: str) -> None:
        self.service, self.node = service, node

    def work(self) -> Work:
        return self.service.call(self.node, "GET", "work")

    def put_json(self, path: str, body: BaseModel | None, *, wait: float | None = None) -> Accepted:
        return self.service.call(self.node, "PUT", path, body=body, query={"wait": wait})

    def put_bytes(
        self, path: str, data: bytes, statement: SignedStatement | None, *, wait: float | None = None
    ) -> Accepted:
        digest = hashlib.sha256(data).hexdigest()
        upload = Body(digest, len(data), inline=data, held=data)
        if len(data) > self.service.settings.inline_bytes:
            self.service.runtime.blobs.put(f"uploads/{digest}", data)
            upload = Body(digest, len(data), blob=f"uploads/{digest}")
        return self.service.call(self.node, "PUT", path, upload=upload, statement=statement, query={"wait": wait})

    def get_json(self, path: str, model: type[Any]) -> Any:
        return self.service.call(self.node, "GET", path)

    def get_bytes(self, path: str) -> bytes:
        return self.service.call(self.node, "GET", path)
