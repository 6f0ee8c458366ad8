"""Labels written in the formats of people's tools, for correcting there and reading back."""
