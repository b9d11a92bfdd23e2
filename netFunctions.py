"""What is done with a network: teach it, test it, measure it.

Everything here is written against the base class of netClasses.py and works for every network.

    run = RunFolder(createPath("results", "demo", "cpu"))
    schedule = Schedule(T=30, Kmax=10, beta=0.1, lr_tab=[0.04, 0.08])
    rows = train({"EP": net}, load_dataset("digits", "data"), schedule, run)
"""

from gradientMatching import compute_nSdSDT, compute_NT, compute_nTdT, receipe
from networks.schedule import Schedule
from records.record import createHyperparameterfile
from runFolder import createPath
from teaching.evaluation import Particles, evaluate
from teaching.train import train

__all__ = [
    "Particles",
    "Schedule",
    "compute_NT",
    "compute_nSdSDT",
    "compute_nTdT",
    "createHyperparameterfile",
    "createPath",
    "evaluate",
    "receipe",
    "train",
]
