"""Numbers on axes, by kind of figure: plotFunctions.py and the report draw with it."""
