"""Names of files as people can read them, whatever is in them."""


def shown_name(name: str) -> str:
    r"""Write a file name in one line: what cannot be printed is escaped.

    Examples
    --------
    >>> shown_name("Größe 1.png"), shown_name("two\nlines.png"), shown_name("odd\udcff.png")
    ('Größe 1.png', 'two\\nlines.png', 'odd\\udcff.png')
    """
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in name
    )
