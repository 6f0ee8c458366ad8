"""The public data sets that can be downloaded by name, and those that one has to ask for."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from blood_cell_system.errors import SettingsError


class Way(StrEnum):
    """How a data set is got."""

    GIT = "git"
    KAGGLE = "kaggle"
    ASK = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicDataSet:
    """A data set that others have published.

    Parameters
    ----------
    name : str
        For the command line.
    title : str
        What is in it, in a line.
    way : Way
    address : str
        Of the repository, the Kaggle handle, or the page where to ask.
    licence : str
    citation : str
    folder : str
        Name of the folder that it is put into.
    next_step : str
        The command to go on with.
    """

    name: str
    title: str
    way: Way
    address: str
    licence: str
    citation: str
    folder: str
    next_step: str


DATA_SETS: Final[Mapping[str, PublicDataSet]] = MappingProxyType(
    {
        data_set.name: data_set
        for data_set in (
            PublicDataSet(
                name="bccd",
                title="364 fields of 640 x 480, boxes of red cells, white cells and platelets",
                way=Way.GIT,
                address="https://github.com/Shenggan/BCCD_Dataset.git",
                licence="MIT",
                citation="Shenggan, BCCD Dataset, github.com/Shenggan/BCCD_Dataset",
                folder="BCCD_Dataset",
                next_step="bloodcells prepare --mode bccd --input {folder}",
            ),
            PublicDataSet(
                name="kaggle",
                title="fields with boxes of red and white cells",
                way=Way.KAGGLE,
                address="draaslan/blood-cell-detection-dataset",
                licence="MIT",
                citation="draaslan, Blood Cell Detection Dataset, kaggle.com/datasets/draaslan/"
                "blood-cell-detection-dataset",
                folder="blood-cell-detection-dataset",
                next_step="bloodcells prepare --mode kaggle --input {folder}",
            ),
            PublicDataSet(
                name="lisc",
                title="white cells of five types with outlines by an expert",
                way=Way.ASK,
                address="https://users.cecs.anu.edu.au/~hrezatofighi/Data/Leukocyte%20Data.htm",
                licence="for research; said on its page",
                citation="Rezatofighi and Soltanian-Zadeh, Automatic recognition of five types of "
                "white blood cells in peripheral blood, CMIG 35(4), 2011",
                folder="LISC",
                next_step="bloodcells prepare --mode lisc --input {folder}",
            ),
            PublicDataSet(
                name="allidb",
                title="fields and single cells of acute lymphoblastic leukaemia",
                way=Way.ASK,
                address="https://homes.di.unimi.it/scotti/all/",
                licence="for research, after signing a form",
                citation="Donida Labati, Piuri, Scotti, ALL-IDB: the acute lymphoblastic leukemia "
                "image database for image processing, ICIP 2011",
                folder="ALL_IDB",
                next_step="bloodcells prepare --mode allidb --input {folder}",
            ),
        )
    }
)


def data_set_named(name: str) -> PublicDataSet:
    """Look a data set up.

    Raises
    ------
    SettingsError
        There is none of that name.
    """
    try:
        return DATA_SETS[name.lower()]
    except KeyError:
        raise SettingsError(
            f"{name}: no data set of that name; expected one of {', '.join(DATA_SETS)}, or the "
            "address of a file that begins with https://."
        ) from None
