"""On what a training computes."""

import tensorflow as tf

from blood_cell_system.errors import SettingsError


def find_devices(wanted: int | str) -> tuple[str, ...]:
    """Find GPUs, and leave the others alone from now on.

    Parameters
    ----------
    wanted : int or str
        How many; ``auto`` for all, ``cpu`` for none. Fewer than all only before TensorFlow has
        begun to compute.

    Returns
    -------
    tuple of str
        TensorFlow's names, such as ``GPU:0``; ``CPU:0`` where there is no GPU.

    Raises
    ------
    SettingsError
        There are not so many.
    """
    gpus = tf.config.get_visible_devices("GPU")
    count = {"auto": len(gpus), "cpu": 0}.get(str(wanted), wanted)
    if not isinstance(count, int) or count < 0 or wanted == 0:
        raise SettingsError(f"--devices {wanted}: expected auto, cpu, or a number from 1 on.")
    if count > len(gpus):
        raise SettingsError(
            f"--devices {count}: TensorFlow {tf.__version__} finds {len(gpus) or 'no'} GPU"
            f"{'s' * (len(gpus) > 1)} on this machine. Install the GPU's driver and the build of "
            "TensorFlow for it (pip install 'blood-cell-system[train-gpu]'), ask for fewer, or "
            "leave --devices out."
        )
    tf.config.set_visible_devices(gpus[:count], "GPU")
    return tuple(f"GPU:{number}" for number in range(count)) or ("CPU:0",)
