"""A network is taught, epoch by epoch, and tested; netFunctions.py names what others call."""
