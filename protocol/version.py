"""The protocol's version: nodes and service refuse to talk across different majors."""

PROTOCOL_VERSION = 1
API_PREFIX = "/v1"
