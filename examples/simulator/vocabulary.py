"""The simulator's fixed vocabulary: channels, merchant categories, segments of customers and typologies of fraud."""

from dataclasses import dataclass
from typing import Final

import numpy as np

CHANNELS: Final = ("chip", "contactless", "online", "phone")
CHIP, CONTACTLESS, ONLINE, PHONE = range(4)

HOME_COUNTRY: Final = "NL"
FOREIGN_COUNTRIES: Final = ("BE", "DE", "ES", "FR", "GB", "TR", "US")

#: Category: (median amount in euro, sigma of its logarithm, share among shops, share among online merchants).
CATEGORIES: Final = {
    "groceries": (28.0, 0.7, 0.24, 0.05),
    "restaurants": (22.0, 0.6, 0.18, 0.07),
    "fuel": (48.0, 0.4, 0.09, 0.0),
    "clothing": (45.0, 0.6, 0.12, 0.18),
    "electronics": (110.0, 0.9, 0.06, 0.16),
    "health": (24.0, 0.7, 0.09, 0.04),
    "entertainment": (20.0, 0.6, 0.06, 0.12),
    "travel": (90.0, 1.0, 0.05, 0.12),
    "home": (55.0, 0.8, 0.06, 0.08),
    "jewellery": (140.0, 0.8, 0.02, 0.03),
    "digital_goods": (11.0, 0.8, 0.0, 0.15),
    "cash": (70.0, 0.6, 0.03, 0.0),
    "transfer": (120.0, 1.0, 0.0, 0.0),
}
CATEGORY_NAMES: Final = tuple(CATEGORIES)
MEDIAN_AMOUNT: Final = np.array([row[0] for row in CATEGORIES.values()])
SIGMA_AMOUNT: Final = np.array([row[1] for row in CATEGORIES.values()])
SHOP_SHARE: Final = np.array([row[2] for row in CATEGORIES.values()])
ONLINE_SHARE: Final = np.array([row[3] for row in CATEGORIES.values()])
TRANSFER: Final = CATEGORY_NAMES.index("transfer")


@dataclass(frozen=True)
class Segment:
    """A kind of customer.

    Attributes:
        activity: Factor on the number of transactions.
        spending: Factor on the amounts.
        online: Mean share of purchases made online.
        trip: Probability of a journey abroad within the simulated days.
    """

    activity: float
    spending: float
    online: float
    trip: float


SEGMENTS: Final = {
    "student": Segment(0.9, 0.6, 0.40, 0.15),
    "worker": Segment(1.1, 0.9, 0.25, 0.20),
    "family": Segment(1.3, 1.1, 0.22, 0.15),
    "affluent": Segment(1.2, 2.0, 0.30, 0.50),
    "retired": Segment(0.6, 0.8, 0.10, 0.25),
}


@dataclass(frozen=True)
class Typology:
    """A way of defrauding.

    Attributes:
        weight: Share of all frauds that is aimed at; the weights sum to one.
        report_days: Mean days until the customer or the bank finds the fraud.
    """

    weight: float
    report_days: float


TYPOLOGIES: Final = {
    "compromised_terminal": Typology(0.36, 3.5),
    "stolen_card": Typology(0.18, 2.0),
    "account_takeover": Typology(0.14, 4.0),
    "card_testing": Typology(0.10, 8.0),
    "mule": Typology(0.13, 6.0),
    "phone_order": Typology(0.09, 10.0),
}
TYPOLOGY_NAMES: Final = tuple(TYPOLOGIES)
