"""The bank's rows as a plan's algorithm needs them: read, features derived, checked against the schema; kept in memory
for the plan that is being trained.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bank_node.errors import DataUnfit
from bank_node.registry import Registry
from bank_node.settings import DatasetSettings
from bank_node.sources import open_source
from learning.errors import ContributionRejected, DataRejected
from learning.query import to_fixed_point
from protocol.plan import Plan

if TYPE_CHECKING:
    import pandas as pd

#: A key for checking whether the rows fit, before the banks share one.
_NO_KEY = bytes(32)


class BankData:
    """The bank's tables.

    Args:
        folder: the home folder; relative paths count from here.
        datasets: name in plans → file.
        registry: entity tables of earlier trainings.
        unseal: opens an entity table's key.
    """

    def __init__(
        self,
        folder: Path,
        datasets: Mapping[str, DatasetSettings],
        registry: Registry,
        unseal: Callable[[bytes], bytes],
    ) -> None:
        self._folder, self._datasets = folder, datasets
        self._registry, self._unseal = registry, unseal
        self._kept: tuple[tuple[str, bytes], Any] | None = None

    def check(self, plan: Plan, *, max_rows: int) -> None:
        """Prepares the rows and makes a first contribution, so that what does not fit is known before the bank accepts.

        That contribution is thrown away: nothing of it leaves the bank.

        Raises:
            DataUnfit: they do not fit; the column is named.
        """
        where = f"plan {plan.name!r}"
        rows = len(self._read(plan))
        if rows > max_rows:
            raise DataUnfit(where, column=None, expected=f"at most {max_rows} rows (policy max_rows)", got=str(rows))
        data = self.prepared(plan, None)
        from bank_node.running import build_algorithm  # noqa: PLC0415  # pulls in pandas and Numba, and this module

        try:
            algorithm = build_algorithm(plan.learning)
            state = algorithm.start()
            query = algorithm.next_query(state)
            if query is not None:
                to_fixed_point(query, algorithm.contribution(state, query, data, {}))
        except DataRejected as error:
            raise _unfit(where, error) from error
        except ContributionRejected as error:
            raise DataUnfit(where, column=None, expected=error.expected, got=error.got) from error

    def prepared(self, plan: Plan, entity_key: bytes | None) -> Any:
        """The algorithm's bank-side data.

        Raises:
            DataUnfit: the rows do not fit the plan.
        """
        key = (plan.digest(), entity_key or _NO_KEY)
        if self._kept is None or self._kept[0] != key:
            self._kept = None
            try:
                self._kept = (key, self._prepare(plan, entity_key or _NO_KEY))
            except DataRejected as error:
                raise _unfit(f"plan {plan.name!r}", error) from error
        return self._kept[1]

    def forget(self) -> None:
        """Frees the rows."""
        self._kept = None

    def _prepare(self, plan: Plan, entity_key: bytes) -> Any:
        frame = self._read(plan)
        if plan.learning.get("kind") == "entity_tables":
            from learning.entities import EntityTableSettings, prepare_rows  # noqa: PLC0415  # pulls in pandas

            settings = EntityTableSettings.model_validate(dict(plan.learning))
            return prepare_rows(frame, settings, entity_key, randbytes=os.urandom)
        from learning.schema import FeatureSchema, prepare  # noqa: PLC0415  # pulls in pandas

        schema = FeatureSchema.model_validate(plan.learning["inputs"])
        return prepare(self.with_features(frame, plan), schema, randbytes=os.urandom)

    def _read(self, plan: Plan, path: Path | None = None, *, for_scoring: bool = False) -> pd.DataFrame:
        name = plan.features.dataset
        if path is None and name not in self._datasets:
            known = ", ".join(self._datasets) or "none"
            raise DataUnfit(
                f"plan {plan.name!r}", column=None, expected=f"a dataset {name!r} in node.toml", got=f"only: {known}"
            )
        settings = self._datasets[name] if path is None else DatasetSettings(path=path)
        source = open_source(name, settings, self._folder)
        there = source.describe().columns
        derived = self._derived_names(plan)
        columns = list(
            dict.fromkeys(
                column for column in self._source_columns(plan, for_scoring=for_scoring)
                if column not in derived or column in there
            )
        )  # fmt: skip
        times = [column for column in self._time_columns(plan) if column in columns]
        return source.read(columns, times=times)

    def _source_columns(self, plan: Plan, *, for_scoring: bool) -> list[str]:
        recipe, learning = plan.features, plan.learning
        columns: list[str] = []
        if learning.get("kind") == "entity_tables":
            columns += [*learning["entities"], learning["time"], learning["label"]]
        else:
            from learning.schema import FeatureSchema, TimeFeature  # noqa: PLC0415  # pulls in pandas

            schema = FeatureSchema.model_validate(learning["inputs"])
            if for_scoring:
                columns += [f.column if isinstance(f, TimeFeature) else f.name for f in schema.features]
            else:
                columns += schema.columns
        for table in self._tables(plan):
            columns += [*table[0].settings.entities, table[0].settings.time]
        wanted = (recipe.customer, recipe.time, recipe.amount) if recipe.profile_windows_days else (recipe.time,)
        return columns + [column for column in wanted if column is not None]

    @staticmethod
    def _time_columns(plan: Plan) -> set[str]:
        learning = plan.learning
        found = {plan.features.time, learning.get("time")}
        inputs = learning.get("inputs", {})
        found |= {inputs.get("time")} | {
            feature.get("column") for feature in inputs.get("features", ()) if feature.get("kind") == "time"
        }
        return {column for column in found if column is not None}

    def _tables(self, plan: Plan) -> list[tuple[Any, bytes]]:
        """The entity tables that the plan names, each with its key."""
        from learning.risk_table import RiskTable  # noqa: PLC0415  # pulls in pandas

        found = []
        for training in plan.features.entity_tables:
            entry = self._registry.of_training(training)
            sealed = None if entry is None else self._registry.entity_key(entry)
            if entry is None or sealed is None:
                raise DataUnfit(
                    f"plan {plan.name!r}", column=None, expected=f"the entity table of training {training} and its key",
                    got="neither on this node: it took no part in that training",
                )  # fmt: skip
            found.append((RiskTable.from_bytes(self._registry.model_bytes(entry)), self._unseal(sealed)))
        return found

    def _derived_names(self, plan: Plan) -> set[str]:
        """Columns that the recipe makes, hence need not be in the table."""
        names = {name for table, _ in self._tables(plan) for name in table.feature_names()}
        if plan.features.profile_windows_days:
            from learning.profiles import profile_names  # noqa: PLC0415  # pulls in pandas

            names |= set(profile_names(plan.features.profile_windows_days))
        return names

    def with_features(self, frame: pd.DataFrame, plan: Plan) -> pd.DataFrame:
        """The table with the columns that the plan's recipe derives inside the bank."""
        import pandas as pd  # noqa: PLC0415  # not before rows are needed

        recipe, parts = plan.features, [frame]
        if recipe.profile_windows_days:
            from learning.profiles import customer_profiles  # noqa: PLC0415  # pulls in Numba

            assert recipe.customer is not None
            assert recipe.time is not None
            assert recipe.amount is not None
            parts.append(
                customer_profiles(
                    frame, customer=recipe.customer, time=recipe.time, amount=recipe.amount,
                    windows_days=recipe.profile_windows_days,
                )
            )  # fmt: skip
        parts += [table.features(frame, key) for table, key in self._tables(plan)]
        return pd.concat(parts, axis=1) if len(parts) > 1 else frame

    def for_scoring(self, plan: Plan, path: Path) -> pd.DataFrame:
        """A file's rows with every feature that the plan's model needs.

        Raises:
            DataUnfit: a column is missing or not of its type.
        """
        try:
            return self.with_features(self._read(plan, path, for_scoring=True), plan)
        except DataRejected as error:
            raise _unfit(str(path), error) from error


def _unfit(where: str, error: DataRejected) -> DataUnfit:
    return DataUnfit(where, column=error.column, expected=error.expected, got=error.got)
