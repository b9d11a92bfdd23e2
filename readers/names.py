"""What the data sets are called, for whoever needs the names before torch is there."""

NAMES = (
    "mnist",
    "fashion-mnist",
    "digits",
    "wine",
    "diabetes",
    "and",
    "or",
    "xor",
    "not",
    "identity",
    "cifar10",
    "cifar100",
    "tiny-imagenet",
    "folder",
    "file",
)
