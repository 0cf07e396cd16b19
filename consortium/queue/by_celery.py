"""The queue in Redis, for Celery's workers."""

from __future__ import annotations

import structlog
from celery import Celery
from kombu.exceptions import OperationalError

from consortium.queue.port import Task, TaskName

#: Redis gives a task that was not acknowledged to another worker after so many seconds. That must be longer than any
#: task takes; a killed worker's tasks are found much sooner by the reconciler, when their leases have run out.
VISIBILITY_S = 6 * 3600

log = structlog.get_logger("consortium.queue")


def task_name(name: TaskName) -> str:
    """A task's name in Celery."""
    return f"consortium.{name.value}"


def make_celery(redis_url: str) -> Celery:
    """Celery as server and workers both need it; results go to the database, so that none are kept here."""
    app = Celery("consortium", broker=redis_url, set_as_current=False)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure_or_timeout=True,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_serializer="json",
        accept_content=["json"],
        task_default_queue="consortium",
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_S,
            "socket_timeout": 10,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "global_keyprefix": "fraud-consortium:",
        },
        task_publish_retry=False,
        enable_utc=True,
    )
    return app


class CeleryQueue:
    """Puts tasks where Celery's workers find them.

    Args:
        redis_url: Redis's.
    """

    def __init__(self, redis_url: str) -> None:
        self._app = make_celery(redis_url)

    def put(self, task: Task) -> None:
        """Hands a task over; when Redis is away it is lost, and the reconciler finds it again."""
        try:
            self._app.send_task(task_name(task.name), args=task.arguments, ignore_result=True)
        except (OperationalError, OSError) as error:
            log.warning("queue:away", task=task.name.value, error=type(error).__name__)
