"""Tables of figures on a terminal."""

from rich import box
from rich.table import Table


def figures_table(first: str, *others: str) -> Table:
    """Make an empty table: names in the first column, figures in the others."""
    # Without walls all columns fit into 80 places.
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1))
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table
