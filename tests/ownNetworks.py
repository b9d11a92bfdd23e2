"""Networks for --network, right and wrong."""

from netClasses import EPdisc, EquilibriumNetwork


class Plain(EPdisc):
    """Nothing of its own."""


class Unsettled(EPdisc):
    """It cannot be relaxed."""

    settled_layer = EquilibriumNetwork.settled_layer


class Lazy(EquilibriumNetwork):
    """It does nothing."""


class Odd(EPdisc):
    """It is made in another way."""

    def __init__(self) -> None:
        super().__init__([2, 2])


NUMBER = 3
