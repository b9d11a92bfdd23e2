"""What the data sets are called, for whoever needs the names before torch is there."""

NAMES = (
    "mnist",
    "fashion-mnist",
    "kmnist",
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
    "svhn",
    "tiny-imagenet",
    "folder",
    "file",
)
