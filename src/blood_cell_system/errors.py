"""Everything that this package raises on purpose.

::

    BloodCellError
    ├── ImageReadError       (OSError)            an image that cannot be read
    ├── AnnotationError      (ValueError)         a label file that cannot be understood
    ├── DatasetError         (ValueError)         a data folder that is not what it should be
    ├── MissingDataError     (FileNotFoundError)  a file or folder that is not there
    ├── MaskFormatError      (ValueError)         a mask outside the mask format
    ├── CellImageError     (ValueError)         an image that does not show one cell
    ├── DownloadError        (ConnectionError)    a data set that cannot be downloaded
    ├── OutputError          (OSError)            a place that cannot be written to
    ├── FolderInUseError     (BlockingIOError)    a folder that another run writes into
    ├── SettingsError        (ValueError)         an option that makes no sense
    ├── CheckpointError      (ValueError)         a model file of another kind, or damaged
    ├── ResumeError          (ValueError)         a training that cannot be continued as asked
    ├── TrainingMemoryError  (MemoryError)        a batch that does not fit into memory
    ├── DivergedError        (ArithmeticError)    a training whose loss is no number any more
    └── WorkerError          (RuntimeError)       a helper process that ended too early

A message says where, what was found, what was expected and what to do. The command line prints it
alone, without a traceback, and exits with 1.
"""


class BloodCellError(Exception):
    """Base of every error that this package raises on purpose."""


class ImageReadError(BloodCellError, OSError):
    """An image cannot be read."""


class AnnotationError(BloodCellError, ValueError):
    """A label file cannot be understood."""


class DatasetError(BloodCellError, ValueError):
    """A data folder is not what it should be."""


class MissingDataError(BloodCellError, FileNotFoundError):
    """A file or folder is not there."""


class MaskFormatError(BloodCellError, ValueError):
    """A mask is outside the mask format."""


class CellImageError(BloodCellError, ValueError):
    """An image does not show one cell."""


class DownloadError(BloodCellError, ConnectionError):
    """A data set cannot be downloaded."""


class OutputError(BloodCellError, OSError):
    """A place cannot be written to."""


class FolderInUseError(BloodCellError, BlockingIOError):
    """Another run writes into a folder."""


class SettingsError(BloodCellError, ValueError):
    """An option makes no sense."""


class CheckpointError(BloodCellError, ValueError):
    """A model file is of another kind, or damaged."""


class ResumeError(BloodCellError, ValueError):
    """A training cannot be continued as asked."""


class TrainingMemoryError(BloodCellError, MemoryError):
    """A batch does not fit into memory."""


class DivergedError(BloodCellError, ArithmeticError):
    """The loss of a training is no number any more."""


class WorkerError(BloodCellError, RuntimeError):
    """A helper process ended too early."""
