"""The database's history: one Alembic script a change of the tables, applied when the service or a worker starts."""

#: The newest revision. A database that says it is there is taken as it is, without loading Alembic.
HEAD = "0003"
