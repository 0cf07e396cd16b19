"""Celery's application: `celery -A workers.app worker`, or `consortium worker`, which calls it."""

from __future__ import annotations

from celery import Celery

from consortium.queue.by_celery import make_celery
from consortium.settings import Settings


def make_worker_app(settings: Settings) -> Celery:
    """The application with all tasks.

    Raises:
        ValueError: no Redis is set.
    """
    if settings.redis is None:
        raise ValueError("CONSORTIUM_REDIS_URL is not set: without it the server does its workers' tasks itself")
    app = make_celery(settings.redis)
    app.conf.include = ["workers.tasks"]
    app.set_default()
    return app
