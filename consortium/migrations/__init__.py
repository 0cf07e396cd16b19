"""The database's history: one Alembic script a change of the tables, applied when the service or a worker starts."""

#: The newest revision; their numbers are in the order in which they came.
#: A database that says it is there is taken as it is, without loading Alembic.
HEAD = "0003"
