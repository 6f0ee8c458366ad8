"""Numbers of things in messages to people."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Give a number of things, with the noun in its number.

    Parameters
    ----------
    plural : str, optional
        Of an irregular noun, or of a noun and its verb; by default the noun and an s.

    Examples
    --------
    >>> counted(1, "epoch"), counted(2, "epoch"), counted(1200, "box", "boxes")
    ('1 epoch', '2 epochs', '1,200 boxes')
    >>> counted(1, "image was", "images were")
    '1 image was'
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
