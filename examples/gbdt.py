"""Boosted trees that five banks train together: python -m examples.gbdt."""

from sklearn.metrics import average_precision_score

from examples.banks import schema, tables
from learning.driver import run
from learning.gbdt import GradientBoosting
from learning.gbdt_settings import GbdtSettings
from learning.schema import Part, prepare


def main() -> None:
    """Train over all banks and at each bank alone, and compare on each bank's later rows."""
    inputs = schema()
    banks = {bank: prepare(rows, inputs) for bank, rows in tables().items()}
    algorithm = GradientBoosting(GbdtSettings(inputs=inputs, trees=40, max_depth=4, learning_rate=0.2))
    sums = []
    together = run(algorithm, list(banks.values()), on_round=lambda query, _: sums.append(query.length))
    print(f"{len(sums)} secure sums, {sum(sums)} numbers; model {together.digest().hex()[:16]}")
    print(f"average precision on all banks' later rows: {together.evaluation['test_ap']:.3f}")
    for bank, data in banks.items():
        X, y = (part[data.part == Part.TEST] for part in (data.X, data.y))
        alone = run(algorithm, [data])
        found = [average_precision_score(y, model.margins(X)) for model in (together, alone)]
        print(f"on {bank}'s: {found[0]:.3f}, trained alone {found[1]:.3f}")


if __name__ == "__main__":
    main()
