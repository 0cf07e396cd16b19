"""How good a model is at all banks together, from a sum of histograms of scores: python -m examples.evaluation."""

import numpy as np
from sklearn.metrics import average_precision_score

from examples.banks import TEST_FROM, tables
from learning.evaluation import evaluate, score_histogram


def main() -> None:
    """Evaluate a simple score: how far an amount is above its customer's mean."""
    histograms, scores, labels = [], [], []
    for bank, rows in tables().items():
        later = rows[rows["time"] >= TEST_FROM]
        margins = np.log(later["customer_ratio_30d"].fillna(1.0).clip(0.01, 100)).to_numpy(dtype=np.float64)
        y = later["fraud"].to_numpy(dtype=np.uint8)
        histograms.append(score_histogram(margins, y))  # all that leaves a bank, and only in a secure sum
        scores.append(margins)
        labels.append(y)
        print(f"{bank}: {len(y)} rows")
    result = evaluate(np.sum(histograms, axis=0))
    exact = average_precision_score(np.concatenate(labels), np.concatenate(scores))
    print(f"average precision {result.ap:.4f} (of the pooled scores themselves: {exact:.4f}), AUC {result.auc:.3f}")
    print(f"{result.recall_at_1pct_alerts:.1%} of {result.frauds} frauds in the 1 % highest of {result.rows} rows")
    print(f"{len(result.precision_recall)} points of a precision-recall curve, {len(result.roc)} of a ROC curve")


if __name__ == "__main__":
    main()
