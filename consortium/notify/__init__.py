"""Waking those who wait: a long poll returns as soon as something has changed for its node."""

from consortium.notify.port import Notifier

__all__ = ["Notifier"]
