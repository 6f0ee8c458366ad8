"""What stands on everything that people read."""

from typing import Final

DISCLAIMER: Final = "Research use only; not a medical device."
