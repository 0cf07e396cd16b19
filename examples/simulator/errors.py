"""What can go wrong in the simulator."""

from collections.abc import Sequence


class SimulatorError(Exception):
    """Any error of the simulator."""


class UnknownBank(SimulatorError):
    """A bank was asked for that the simulation does not have.

    Attributes:
        bank: The name that was asked for.
        banks: The names that there are.
    """

    def __init__(self, bank: str, banks: Sequence[str]) -> None:
        self.bank = bank
        self.banks = tuple(banks)
        super().__init__(
            f"Simulation.for_bank: no such bank, expected one of {', '.join(self.banks)}, got {bank!r}; "
            "take the name from Simulation.banks"
        )
