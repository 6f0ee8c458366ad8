import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blood_cell_system.analysis.segmentation import TileSettings, segment_image
from blood_cell_system.analysis.trained_models import NetworkOutputs
from blood_cell_system.errors import ImageReadError, SettingsError


class LocalNetwork:
    """Blurs over 17 pixels, as a network with so large a receptive field would; no Keras."""

    def __init__(self, input_shape=None, *, has_heads=True):
        self.input_shape = input_shape
        self.has_heads = has_heads
        self.seen = []

    def predict(self, batch):
        assert batch.dtype == np.float32
        assert self.input_shape is not None or not any(side % 32 for side in batch.shape[1:3])
        self.seen.append(batch.shape[1:3])
        padded = np.pad(batch, ((0, 0), (8, 8), (8, 8), (0, 0)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, 17, axis=1).mean(-1)
        windows = np.lib.stride_tricks.sliding_window_view(windows, 17, axis=2).mean(-1)
        classes = (windows + 1) / (windows + 1).sum(axis=-1, keepdims=True)
        small = windows[:, 1::4, 1::4]
        heads = {"centres": small / 255, "log_size": small[..., :2]} if self.has_heads else {}
        return NetworkOutputs(class_probabilities=classes, **heads)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@given(st.integers(1, 70), st.integers(1, 70))
@settings(max_examples=25)
def test_outputs_have_the_size_of_the_image(height, width):
    result = segment_image(LocalNetwork(), noise(height, width))
    assert result.class_probabilities.shape == (height, width, 3)
    assert result.class_mask.shape == (height, width)
    assert result.centres.shape == (-(-height // 4), -(-width // 4), 3)
    assert result.log_size.shape == (-(-height // 4), -(-width // 4), 2)


@pytest.mark.parametrize("shape", [(150, 210), (64, 200), (129, 64)])
def test_tiles_give_what_the_whole_gives(shape):
    image = noise(*shape)
    whole = segment_image(LocalNetwork(), image)
    cut = TileSettings(network_whole_px=1, network_tile_px=64, network_margin_px=32)
    network = LocalNetwork()
    tiled = segment_image(network, image, cut)
    assert len(network.seen) > 1
    np.testing.assert_allclose(
        tiled.class_probabilities, whole.class_probabilities, atol=1e-5, rtol=0
    )
    np.testing.assert_allclose(tiled.centres, whole.centres, atol=1e-5, rtol=0)
    np.testing.assert_allclose(tiled.log_size, whole.log_size, atol=1e-3, rtol=0)


def test_no_tile_is_larger_than_asked_for():
    network = LocalNetwork()
    cut = TileSettings(network_whole_px=1, network_tile_px=64, network_margin_px=32)
    segment_image(network, noise(300, 300), cut)
    assert max(max(shape) for shape in network.seen) <= 64 + 2 * 32


@pytest.mark.parametrize("shape", [(96, 96), (33, 250), (200, 40)])
def test_a_network_of_one_size_sees_only_that_size(shape):
    network = LocalNetwork((96, 64))
    result = segment_image(network, noise(*shape))
    assert set(network.seen) == {(96, 64)}
    whole = segment_image(LocalNetwork(), noise(*shape))
    interior = slice(8, -8), slice(8, -8)
    np.testing.assert_allclose(
        result.class_probabilities[interior], whole.class_probabilities[interior], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("limit", [1, 10**6])
def test_a_network_without_heads_gives_none(limit):
    cut = TileSettings(network_whole_px=limit, network_tile_px=32, network_margin_px=32)
    result = segment_image(LocalNetwork(has_heads=False), noise(70, 70), cut)
    assert result.centres is None
    assert result.log_size is None


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_what_is_no_rgb_image_is_refused(image):
    with pytest.raises(ImageReadError, match="expected an array"):
        segment_image(LocalNetwork(), image)


@pytest.mark.parametrize(
    "options",
    [{"network_tile_px": 100}, {"network_margin_px": 33}, {"network_margin_px": -32}],
)
def test_tiles_of_the_network_off_the_stride_are_refused(options):
    with pytest.raises(SettingsError, match=next(iter(options))):
        TileSettings(**options)
