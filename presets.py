"""Published experiments by name: a preset is the list of options it stands for.

    python main.py --preset P-1h --data-dir data

Options given by hand win over the preset's. Figures are the papers', not ours.
"""

from __future__ import annotations

from typing import NamedTuple


class Preset(NamedTuple):
    options: str  # as typed on the command line
    reported: str  # what the paper reports, with its source
    differs: str = ""  # what differs from the published command, and why


TABLE_1 = "Ernoult et al. 2019, Table 1, test error in % EP / BPTT: "
NO_CLAMP = (
    "BPTT by itself and --no-clamp: clamped to [0, 1], an output unit that starts below 0 passes "
    "BPTT no gradient and may never learn its class; EP, whose nudge lifts it, learns best clamped"
)
EB_1H = "--size_tab 10 512 784 --epochs 30 --T 100 --Kmax 12 --beta 0.5 --dt 0.2 "
EB_2H = (
    "--size_tab 10 512 512 784 --lr_tab 0.01 0.1 0.4 --epochs 50 --T 400 --Kmax 40 --beta 0.5 "
    "--dt 0.2 "
)

PRESETS = {
    "EB-1h": Preset(
        EB_1H + "--lr_tab 0.1 0.4 --training-method EP",
        TABLE_1 + "2.06 ± 0.17 / 2.11 ± 0.09",
        "rates 0.1 0.4 for 0.05 0.1, with which 30 epochs are too few to learn the training set; "
        "EP only, BPTT is EB-1h-BPTT",
    ),
    "EB-1h-BPTT": Preset(
        EB_1H + "--lr_tab 0.05 0.1 --training-method BPTT --no-clamp",
        TABLE_1 + "2.06 ± 0.17 / 2.11 ± 0.09",
        NO_CLAMP,
    ),
    "EB-2h": Preset(
        EB_2H + "--training-method EP",
        TABLE_1 + "2.01 ± 0.21 / 2.02 ± 0.12",
        "EP only, as published; BPTT is EB-2h-BPTT",
    ),
    "EB-2h-BPTT": Preset(
        EB_2H + "--training-method BPTT --no-clamp",
        TABLE_1 + "2.01 ± 0.21 / 2.02 ± 0.12",
        NO_CLAMP,
    ),
    "P-1h": Preset(
        "--discrete --size_tab 10 512 784 --lr_tab 0.04 0.08 --epochs 30 --T 30 --Kmax 10 "
        "--beta 0.1 --benchmark",
        TABLE_1 + "2.00 ± 0.13 / 2.00 ± 0.12",
        "T 30 and Kmax 10 for 40 and 15: an odd Kmax compares opposite phases of the period-2 "
        "oscillation in which some free phases end",
    ),
    "P-2h": Preset(
        "--discrete --size_tab 10 512 512 784 --lr_tab 0.005 0.05 0.2 --epochs 50 --T 100 "
        "--Kmax 20 --beta 0.5 --benchmark",
        TABLE_1 + "1.95 ± 0.10 / 2.09 ± 0.12",
    ),
    "P-3h": Preset(
        "--discrete --size_tab 10 512 512 512 784 --lr_tab 0.002 0.01 0.05 0.2 --epochs 100 "
        "--T 180 --Kmax 20 --beta 0.5 --benchmark",
        TABLE_1 + "2.01 ± 0.18 / 2.30 ± 0.17",
    ),
    "P-conv": Preset(
        "--activation-function hardsigm --C_tab 64 32 1 --size_tab 10 --lr_tab 0.015 0.035 0.15 "
        "--epochs 40 --T 200 --Kmax 10 --beta 0.4 --benchmark",
        TABLE_1 + "1.02 ± 0.04 / 0.88 ± 0.06",
    ),
}


def listing() -> str:
    """What `--list-presets` prints."""
    lines = []
    for name, preset in PRESETS.items():
        lines += [name, f"  {preset.options}", f"  paper: {preset.reported}"]
        if preset.differs:
            lines.append(f"  differs from the published command: {preset.differs}")
    return "\n".join(lines)
