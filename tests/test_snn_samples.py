import numpy as np
import pytest

from snn.encode import Encoder
from snn.samples import Samples


def samples(pixels, shape, **options):
    fields = {"labels": np.arange(len(pixels)), "high": 255, "encoder": Encoder.parse("direct"), "steps": 4}
    return Samples(**{"pixels": pixels, "shape": shape, **fields, **options})


def first(images, *, seed=0, **options):
    """The images of one epoch, in the order of their labels, as integers."""
    alterations = {"shift": 0, "noise": 0, **options}
    ((inputs, labels),) = images.batches(batch=len(images.pixels), random=np.random.default_rng(seed), **alterations)
    return inputs.numpy().astype(np.int64)[np.argsort(labels.numpy())]


def test_half_of_the_images_are_flipped_left_to_right():
    pixels = np.arange(2 * 3 * 4) * np.ones((400, 1), np.int64)
    plain, flipped = pixels[0], pixels[0].reshape(2, 3, 4)[:, :, ::-1].ravel()
    out = first(samples(pixels, (2, 3, 4)), flip=True)
    mirrored = (out == flipped).all(axis=1)
    assert (mirrored | (out == plain).all(axis=1)).all()
    assert 150 < mirrored.sum() < 250


def test_flip_leaves_the_training_set_alone():
    pixels = np.arange(40).reshape(5, 8)
    first(samples(pixels, (1, 2, 4)), flip=True, erase=2)
    np.testing.assert_array_equal(pixels, np.arange(40).reshape(5, 8))


@pytest.mark.parametrize(
    ("centre", "sides", "erased"),
    [
        ((1, 1), (2, 3), {(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)}),
        ((0, 0), (3, 1), {(0, 0), (1, 0)}),  # one row of it is outside
        ((2, 3), (1, 4), {(2, 1), (2, 2), (2, 3)}),
        ((1, 1), (0, 4), set()),
    ],
)
def test_erasing_by_hand(centre, sides, erased):
    one = samples(np.full((1, 24), 7), (2, 3, 4))
    out = one._erased(one.pixels, np.array([centre]), np.array([sides])).reshape(2, 3, 4)
    for channel in out:
        assert set(zip(*np.nonzero(channel == 0), strict=True)) == erased
        assert set(np.unique(channel)) <= {0, 7}


def test_erasing_reaches_every_pixel_and_is_no_larger_than_asked():
    out = first(samples(np.ones((500, 30), np.int64), (1, 5, 6)), erase=3).reshape(500, 5, 6)
    black = out == 0
    assert black.any(axis=0).all()
    assert black.any(axis=2).sum(axis=1).max() == black.any(axis=1).sum(axis=1).max() == 3
    assert (~black).all(axis=(1, 2)).any()
