"""The networks: a state that is driven to rest, and a local rule that reads it.

Layer 0 is the output; layers are counted, and sizes listed, from the output backwards, as in
Ernoult et al. 2019. The data are the layer after the last one and never move.

    net = EPdisc([10, 512, 784], activation="sigm", seed=0)
    with torch.no_grad():
        drive = net.drive(data)                                     # once per batch
        s_free = net(drive, net.initHidden(drive), 30)              # first phase
        s_nudged = net(drive, s_free, 10, target, beta=0.1)         # second phase
        net.learn(drive, s_free, s_nudged, 0.1, lr_tab=[0.04, 0.08])
"""

from networks.activations import ACTIVATIONS
from networks.asymmetric import AsymmetricConvEP, AsymmetricEPcont, AsymmetricEPdisc
from networks.conv import convEP
from networks.equilibrium import EquilibriumNetwork
from networks.layered import EPcont, EPdisc, LayeredNetwork, toyEPcont

__all__ = [
    "ACTIVATIONS",
    "AsymmetricConvEP",
    "AsymmetricEPcont",
    "AsymmetricEPdisc",
    "EPcont",
    "EPdisc",
    "EquilibriumNetwork",
    "LayeredNetwork",
    "convEP",
    "toyEPcont",
]
