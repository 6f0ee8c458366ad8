"""What an exported network's file says of itself; needs neither ONNX nor Keras."""

import hashlib
from dataclasses import dataclass
from typing import Final, Self

_PREFIX: Final = "blood_cell_system."
HASH_KEY: Final = f"{_PREFIX}content_sha256"
"""Where an exported file keeps the hash of its own content."""
_HASH_DIGITS: Final = 64
NO_HASH: Final = "0" * _HASH_DIGITS
"""Stands in the file while its hash is taken."""

INPUT_CONTRACT: Final = (
    "float32 (batch, height, width, 3), RGB of 0..255, height and width multiples of 32"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxMetadata:
    """What an exported network says of itself.

    Parameters
    ----------
    training_diameter_px : float
        Diameter of a red cell in the pictures that it learned from.
    software_version : str
        Of this package, when it was exported.
    source_sha256 : str
        Of the ``.keras`` file that it was made of; empty where there was none.
    content_sha256 : str
        Of the file itself, taken while ``NO_HASH`` stands here.
    input_contract : str
        For a person who wants to run it elsewhere.
    """

    training_diameter_px: float
    software_version: str
    source_sha256: str
    content_sha256: str = NO_HASH
    input_contract: str = INPUT_CONTRACT

    def as_properties(self) -> dict[str, str]:
        """As the file holds it."""
        return {
            f"{_PREFIX}training_diameter_px": repr(self.training_diameter_px),
            f"{_PREFIX}software_version": self.software_version,
            f"{_PREFIX}source_sha256": self.source_sha256,
            HASH_KEY: self.content_sha256,
            f"{_PREFIX}input": self.input_contract,
        }

    @classmethod
    def from_properties(cls, properties: dict[str, str]) -> Self | None:
        """Of a file's properties; None for a file that another program has made.

        Raises
        ------
        ValueError
            The diameter is not a positive number.
        """
        if HASH_KEY not in properties:
            return None
        diameter = float(properties.get(f"{_PREFIX}training_diameter_px", "nan"))
        if not 0 < diameter < float("inf"):
            raise ValueError(f"training diameter {diameter}")
        return cls(
            training_diameter_px=diameter,
            software_version=properties.get(f"{_PREFIX}software_version", ""),
            source_sha256=properties.get(f"{_PREFIX}source_sha256", ""),
            content_sha256=properties[HASH_KEY],
            input_contract=properties.get(f"{_PREFIX}input", ""),
        )


def content_hash(data: bytes) -> str:
    """Hash of an exported file, whatever hash it holds itself.

    Parameters
    ----------
    data : bytes
        Of the whole file.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    start, stop = _hash_place(data)
    digest = hashlib.sha256(data[:start])
    digest.update(NO_HASH.encode())
    digest.update(data[stop:])
    return digest.hexdigest()


def with_content_hash(data: bytes) -> bytes:
    """Write its own hash into an exported file."""
    start, stop = _hash_place(data)
    return data[:start] + content_hash(data).encode() + data[stop:]


def _hash_place(data: bytes) -> tuple[int, int]:
    """Where the hash stands: in protocol buffers a value follows its key, two bytes between."""
    key = HASH_KEY.encode() + b"\x12" + bytes([_HASH_DIGITS])
    start = data.rfind(key)
    if start < 0:
        return len(data), len(data)
    return start + len(key), start + len(key) + _HASH_DIGITS
