"""The bank's rows as a plan's algorithm needs them: read, features derived, checked against the schema; kept in memory
for the trainings that are under way.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bank_node.data_pin import DataPin, DataPins, require_untouched
from bank_node.errors import SEE_SETTINGS, DataUnfit, PolicyRefused
from bank_node.learning_settings import learning_settings
from bank_node.registry import Registry
from bank_node.settings import DatasetSettings
from bank_node.sources import DataSource, open_source
from bank_node.sources.port import path_of
from learning.errors import ContributionRejected, DataRejected
from learning.query import to_fixed_point
from protocol.plan import Plan

if TYPE_CHECKING:
    import pandas as pd

    from bank_node.look_back import LookBack
    from learning.risk_table import RiskTable

#: A key for checking whether the rows fit, before the banks share one.
_NO_KEY = bytes(32)
#: Trainings whose rows are held in memory at once; those of a further one are read again for every round.
HELD = 3


@dataclass(frozen=True)
class RowsToScore:
    """A file's rows with every feature that a model needs.

    Attributes:
        frame: in the file's order.
        identifiers: the column that is passed through, as text, if one was asked for.
        look_back: what customer profiles look back on, where the plan has any.
    """

    frame: pd.DataFrame
    identifiers: pd.Series | None
    look_back: LookBack | None


@dataclass(frozen=True, slots=True)
class _Held:
    """A training's prepared rows, and what they were prepared by."""

    plan: Plan
    entity_key: bytes = field(repr=False)
    data: Any = field(repr=False)


class BankData:
    """The bank's tables.

    Args:
        folder: the home folder; relative paths count from here.
        datasets: name in plans → file.
        registry: entity tables of earlier trainings.
        unseal: opens an entity table's key.
        pins: which rows the trainings were accepted with.
    """

    def __init__(
        self, folder: Path, datasets: Mapping[str, DatasetSettings], registry: Registry,
        unseal: Callable[[bytes], bytes], pins: DataPins,
    ) -> None:  # fmt: skip
        self._folder, self._datasets = folder, datasets
        self._registry, self._unseal, self._pins = registry, unseal, pins
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def check(self, plan: Plan, *, max_rows: int, training: str | None = None) -> list[str]:
        """Prepares the rows and makes a first contribution, so that what does not fit is known before the bank accepts.

        That contribution is thrown away: nothing of it leaves the bank.

        Args:
            plan: what is asked for.
            max_rows: the policy's limit.
            training: what the bank would accept; its rows are pinned and held. None for a dry run.

        Returns:
            Sentences for the bank's own people, on what the rows fit but have little of.

        Raises:
            PlanInvalid: the plan's settings are no algorithm's.
            DataUnfit: the rows do not fit; the column is named.
        """
        from bank_node.coverage import warnings_of  # noqa: PLC0415  # pulls in pandas
        from learning.algorithms import build  # noqa: PLC0415  # and Numba

        where, settings = f"plan {plan.name!r}", learning_settings(plan)
        dataset, path = self._dataset(plan)
        pin = DataPin.of(path, dataset)
        frame = self._read(plan)
        _require_size(plan, frame, max_rows)
        try:
            data = self._prepare(plan, frame, _NO_KEY)
            algorithm = build(settings)
            state = algorithm.start()
            query = algorithm.next_query(state)
            if query is not None:
                to_fixed_point(query, algorithm.contribution(state, query, data, {}))
        except DataRejected as error:
            raise _unfit(where, error) from error
        except ContributionRejected as error:
            raise DataUnfit(where, column=None, expected=error.expected, got=error.got) from error
        warnings = warnings_of(where, settings, frame, data)
        require_untouched(pin, plan.features.dataset, path)
        if training is not None:
            self._pins.keep(training, pin)
            self._hold(training, _Held(plan, _NO_KEY, data))
        return warnings

    def prepared(self, training: str, plan: Plan, entity_key: Callable[[], bytes | None]) -> Any:
        """The algorithm's bank-side data, of the rows with which the training was accepted.

        Args:
            training: its id.
            plan: what was accepted.
            entity_key: fetches the banks' shared identifier key, for a plan that needs it.

        Raises:
            DataUnfit: the rows do not fit the plan, or are others than those.
        """
        # Only identifiers are hashed under the key: without any, the rows of the check are those of the training.
        counts_entities = plan.learning.get("kind") == "entity_tables"
        key = (entity_key() if counts_entities else None) or _NO_KEY
        held = self._held.get(training)
        # Every round asks with the same object, and a plan's digest takes as long as a small contribution.
        if held is None or held.plan is not plan or held.entity_key != key:
            self.forget(training)
            same = held is not None and held.entity_key == key and held.plan.digest() == plan.digest()
            data = held.data if held is not None and same else self._pinned(training, plan, key)
            self._hold(training, _Held(plan, key, data))
        self._held.move_to_end(training)
        return self._held[training].data

    def forget(self, training: str) -> None:
        """Frees a training's rows."""
        self._held.pop(training, None)

    def _hold(self, training: str, held: _Held) -> None:
        self._held[training] = held
        while len(self._held) > HELD:
            self._held.popitem(last=False)

    def _pinned(self, training: str, plan: Plan, entity_key: bytes) -> Any:
        name, (dataset, path) = plan.features.dataset, self._dataset(plan)
        pin = self._pins.require(training, name, path, dataset)
        try:
            data = self._prepare(plan, self._read(plan), entity_key)
        except DataRejected as error:
            raise _unfit(f"plan {plan.name!r}", error) from error
        require_untouched(pin, name, path)
        return data

    def _prepare(self, plan: Plan, frame: pd.DataFrame, entity_key: bytes) -> Any:
        from learning.entities import EntityTableSettings, prepare_rows  # noqa: PLC0415  # pulls in pandas
        from learning.schema import prepare  # noqa: PLC0415

        settings = learning_settings(plan)
        if isinstance(settings, EntityTableSettings):
            return prepare_rows(frame, settings, entity_key, randbytes=os.urandom)
        return prepare(self._with_features(frame, plan), settings.inputs, randbytes=os.urandom)

    def paths(self) -> list[Path]:
        """Where the datasets of node.toml lie."""
        return [self._folder / settings.path for settings in self._datasets.values()]

    def _dataset(self, plan: Plan) -> tuple[DatasetSettings, Path]:
        """The plan's dataset: its settings, and where its file is."""
        name = plan.features.dataset
        if name not in self._datasets:
            raise DataUnfit(
                f"plan {plan.name!r}", column=None, expected=f"a dataset {name!r} in node.toml", got="no such name",
                advice=SEE_SETTINGS,
            )  # fmt: skip
        return self._datasets[name], path_of(name, self._datasets[name], self._folder)

    def _source(self, plan: Plan) -> DataSource:
        return open_source(plan.features.dataset, self._dataset(plan)[0], self._folder)

    def _read(self, plan: Plan) -> pd.DataFrame:
        from bank_node import plan_columns  # noqa: PLC0415  # pulls in pandas

        settings, tables = learning_settings(plan), [table for table, _ in self._tables(plan)]
        return _read_columns(
            self._source(plan), plan, plan_columns.source_columns(settings, plan.features, tables), tables
        )

    def _tables(self, plan: Plan) -> list[tuple[RiskTable, bytes]]:
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
                    advice="only the operator can help, by a plan without it or a new training of the table",
                )  # fmt: skip
            found.append((RiskTable.from_bytes(self._registry.model_bytes(entry)), self._unseal(sealed)))
        return found

    def _with_features(
        self, frame: pd.DataFrame, plan: Plan, profiled: tuple[pd.DataFrame, pd.DataFrame] | None = None
    ) -> pd.DataFrame:
        """The table with the columns that the plan's recipe derives inside the bank.

        Args:
            frame: the table.
            plan: has the recipe.
            profiled: the same rows and earlier ones, as `look_back` gives them; without, customer profiles look back
                on the table alone.
        """
        import pandas as pd  # noqa: PLC0415  # not before rows are needed

        recipe, parts = plan.features, [frame]
        if recipe.profile_windows_days:
            from learning.profiles import customer_profiles  # noqa: PLC0415  # pulls in Numba

            assert recipe.customer is not None
            assert recipe.time is not None
            assert recipe.amount is not None
            rows, history = profiled or (frame, None)
            parts.append(
                customer_profiles(
                    rows, customer=recipe.customer, time=recipe.time, amount=recipe.amount,
                    windows_days=recipe.profile_windows_days, history=history,
                )
            )  # fmt: skip
        parts += [table.features(frame, key) for table, key in self._tables(plan)]
        return pd.concat(parts, axis=1) if len(parts) > 1 else frame

    def for_scoring(self, plan: Plan, path: Path, *, id_column: str | None = None) -> RowsToScore:
        """A file's rows with every feature that the plan's model needs.

        The file is read as the plan's dataset is, and customer profiles look back on that dataset.

        Args:
            plan: of the model.
            path: the file.
            id_column: a column to pass through, as the file calls it.

        Raises:
            DataUnfit: a column is missing or not of its type, or there is no dataset to look back on.
        """
        from bank_node import plan_columns  # noqa: PLC0415  # pulls in pandas

        name, recipe = plan.features.dataset, plan.features
        tables = [table for table, _ in self._tables(plan)]
        wanted = plan_columns.source_columns(learning_settings(plan), recipe, tables, for_scoring=True)
        dataset = self._datasets.get(name, DatasetSettings(path=path))
        # A new file need not have the label's column, nor any other that only training needs.
        rename = {old: new for old, new in dataset.rename.items() if new in wanted}
        settings = dataset.model_copy(update={"path": path, "rename": rename})
        source = open_source(f"{name} (to score)", settings, self._folder)
        identifiers = None
        if id_column is not None:
            called = rename.get(id_column, id_column)
            identifiers = source.read([called], texts=[called])[called].rename(id_column)
        try:
            frame = _read_columns(source, plan, wanted, tables)
            reach, profiled = None, None
            if recipe.profile_windows_days:
                from bank_node.look_back import look_back  # noqa: PLC0415  # pulls in pandas

                history = _read_columns(self._source(plan), plan, plan_columns.look_back_columns(recipe), [])
                _require_amounts(history, recipe.amount, name)
                *rows, reach = look_back(frame, history, recipe)
                profiled = (rows[0], rows[1])
            frame = self._with_features(frame, plan, profiled)
        except DataRejected as error:
            raise _unfit(str(path), error) from error
        return RowsToScore(frame, identifiers, reach)


def _require_size(plan: Plan, frame: pd.DataFrame, max_rows: int) -> None:
    """Refuses more rows than the bank's policy allows, and none at all."""
    if frame.empty:
        raise DataUnfit(
            f"dataset {plan.features.dataset!r}", column=None, expected="at least one row to take part with",
            got="none",
            advice="see whether the export was broken off: without rows this bank would only be counted as one more",
        )  # fmt: skip
    if len(frame) > max_rows:
        raise PolicyRefused(
            "max_rows", f"dataset {plan.features.dataset!r}", expected=f"at most {max_rows} rows",
            got="more", only_here=f"the file has {len(frame)}",
        )  # fmt: skip


def _require_amounts(history: pd.DataFrame, column: str | None, name: str) -> None:
    """Refuses the dataset that is looked back on by its own name and rows, of which later steps have only some."""
    from learning.columns import numbers  # noqa: PLC0415  # pulls in pandas

    try:
        numbers(history[column], str(column))
    except DataRejected as error:
        raise _unfit(f"dataset {name!r}", error) from error


def _read_columns(source: DataSource, plan: Plan, columns: list[str], tables: list[RiskTable]) -> pd.DataFrame:
    """The columns of all rows; those that the recipe derives only where the file has them."""
    from bank_node import plan_columns  # noqa: PLC0415  # pulls in pandas

    derived = plan_columns.derived_columns(plan.features, tables)
    there = source.describe().columns if derived else {}
    columns = [column for column in columns if column not in derived or column in there]
    times = plan_columns.time_columns(learning_settings(plan), plan.features)
    return source.read(columns, times=[column for column in columns if column in times])


def _unfit(where: str, error: DataRejected) -> DataUnfit:
    return DataUnfit(where, column=error.column, expected=error.expected, got=error.got)
