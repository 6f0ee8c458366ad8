import numpy as np
import pytest
from support.smears import small_prepared_folder

from blood_cell_system.annotation.sample import Annotation
from blood_cell_system.augmentation.augmentation_settings import AugmentationSettings
from blood_cell_system.augmentation.batches import batches
from blood_cell_system.augmentation.decoded_images import DecodedImages
from blood_cell_system.augmentation.training_crops import CropSampler
from blood_cell_system.boxes import Box
from blood_cell_system.datasets.prepared import DecodedImage, PreparedDataset
from blood_cell_system.taxonomy import WBC

PLAIN = AugmentationSettings(
    scale_range=(1.0, 1.0), any_angle_share=0.0, elastic_share=0.0, flip_share=0.0
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = small_prepared_folder(tmp_path_factory.mktemp("smears"), count=5)
    return DecodedImages(PreparedDataset.open(root).images)


def sampler(images, *, seed=0, size_px=64):
    return CropSampler(images, size_px=size_px, settings=AugmentationSettings(), seed=seed)


def assert_same_crop(one, other):
    for name in ("pixels", "class_mask", "heat_map"):
        np.testing.assert_array_equal(one[name], other[name])


def test_a_crop_depends_on_seed_and_index_alone(images):
    forwards = sampler(images)
    first = [forwards[index] for index in range(6)]
    backwards = sampler(images)
    for index in reversed(range(6)):
        assert_same_crop(backwards[index], first[index])


def test_another_seed_gives_other_crops(images):
    assert not np.array_equal(sampler(images)[0]["pixels"], sampler(images, seed=1)[0]["pixels"])


def test_every_image_comes_once_before_any_comes_again():
    seen = []

    class Watched:
        def __len__(self):
            return 7

        def __getitem__(self, position):
            seen.append(position)
            pixels = np.zeros((64, 64, 3), np.uint8)
            return DecodedImage(
                pixels=pixels, class_mask=pixels[:, :, 0], label_image=None, cells=None
            )

    crops = sampler(Watched())
    for index in range(21):
        crops[index]
    rounds = [seen[start : start + 7] for start in (0, 7, 14)]
    assert all(sorted(one) == list(range(7)) for one in rounds)
    assert rounds[0] != rounds[1]


def one_image(height, width, cells=()):
    """An image that is scored everywhere, as the list of images that a sampler takes."""
    pixels = np.full((height, width, 3), 200, np.uint8)
    class_mask = np.zeros((height, width), np.uint8)
    return [DecodedImage(pixels=pixels, class_mask=class_mask, label_image=None, cells=cells)]


def test_without_turning_and_scaling_crops_stay_inside_a_large_image():
    crops = CropSampler(one_image(300, 400), size_px=64, settings=PLAIN, seed=0)
    assert all((crops[index]["class_mask"] == 0).all() for index in range(30))


def test_an_image_smaller_than_a_crop_is_surrounded_by_what_is_not_scored():
    crop = CropSampler(one_image(32, 32), size_px=64, settings=PLAIN, seed=0)[0]
    assert (crop["class_mask"] == 0).sum() == 32 * 32
    assert (crop["class_mask"] == 255).sum() == 64 * 64 - 32 * 32


def test_rare_white_cells_are_in_view_far_more_often_than_by_chance():
    cell = Annotation(cell_type=WBC, box=Box(480, 480, 520, 520))
    crops = CropSampler(one_image(1000, 1000, (cell,)), size_px=64, settings=PLAIN, seed=0)
    in_view = sum(crops[index]["heat_map"][:, :, 1].max() == 1 for index in range(60))
    assert in_view > 10


def test_batches_are_the_crops_in_order(images):
    crops = sampler(images)
    made = list(batches(crops.__getitem__, batch_size=2, first_index=4, count=3))
    assert len(made) == 3
    for number, batch in enumerate(made):
        assert {name: len(values) for name, values in batch.items()} == dict.fromkeys(batch, 2)
        for place in range(2):
            expected = crops[4 + 2 * number + place]
            np.testing.assert_array_equal(batch["pixels"][place], expected["pixels"])
            np.testing.assert_array_equal(batch["heat_map"][place], expected["heat_map"])


def test_an_error_in_a_crop_reaches_the_reader_of_the_batches(images):
    def broken(index):
        raise ValueError(f"crop {index}")

    with pytest.raises(ValueError, match="crop 0"):
        next(batches(broken, batch_size=2, first_index=0, count=1))


def test_crops_are_of_the_images_that_the_order_names(images):
    class Reversed:
        def position_of(self, index):
            return len(images) - 1 - index % len(images)

    crops = CropSampler(images, size_px=64, settings=PLAIN, seed=0, order=Reversed())
    assert [crops.position_of(index) for index in range(6)] == [4, 3, 2, 1, 0, 4]
    usual = CropSampler(images, size_px=64, settings=PLAIN, seed=0)
    differs = [crops.position_of(index) != usual.position_of(index) for index in range(5)]
    for index, is_other in enumerate(differs):
        same = np.array_equal(crops[index]["pixels"], usual[index]["pixels"])
        assert same != is_other
