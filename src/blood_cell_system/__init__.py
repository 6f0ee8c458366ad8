"""From a picture of a stained blood smear to outlined, classified, counted cells.

Research use only; not a medical device.
"""

__version__ = "0.1.0"
