"""Simulated payments of several banks' customers, with labelled fraud; docs/simulator.md says from what."""

from examples.simulator.errors import SimulatorError, UnknownBank
from examples.simulator.settings import SimulationSettings
from examples.simulator.simulation import Simulation, simulate

__all__ = ["Simulation", "SimulationSettings", "SimulatorError", "UnknownBank", "simulate"]
