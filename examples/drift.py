"""Have all banks' rows together moved since training? python -m examples.drift."""

from examples.banks import schema, tables
from learning.drift import Drift, DriftSettings
from learning.driver import run
from learning.schema import prepare


def main() -> None:
    """Compare the test rows with the training rows, and again when one bank's export breaks."""
    inputs, parts = schema(), tables()
    changed = {bank: rows.copy() for bank, rows in parts.items()}
    late = changed["bank-0"]["time"] >= str(inputs.split.test_from)
    changed["bank-0"].loc[late, "amount"] *= 10
    for name, banks in (("as simulated", parts), ("bank-0's amounts times ten", changed)):
        report = run(Drift(DriftSettings(inputs=inputs)), [prepare(rows, inputs) for rows in banks.values()])
        print(f"{name}: {report.rows[0]} rows then, {report.rows[1]} now; what moved most:")
        for feature in sorted(report.features, key=lambda found: -found.index)[:4]:
            print(f"    {feature.feature:28} {feature.index:6.3f} {feature.verdict}")


if __name__ == "__main__":
    main()
