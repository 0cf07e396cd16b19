"""Celery tasks over the consortium's services."""
