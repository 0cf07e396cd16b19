"""Where work for the workers waits: in this process, or in Redis for Celery's."""
