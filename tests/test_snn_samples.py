import numpy as np
import pytest

from quant.errors import NetworkError
from snn.datasets import Events
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


def events_of(frames):
    """Events that the frames (samples, 2, rows, columns) show."""
    found = [np.argwhere(sample) for sample in frames]
    polarity, y, x = (np.concatenate([item[:, axis] for item in found]).astype(np.uint8) for axis in range(3))
    return Events(
        offsets=np.concatenate([[0], np.cumsum([len(item) for item in found])]),
        x=x,
        y=y,
        polarity=polarity,
        time_us=np.zeros(len(x), np.uint32),
        shape=frames.shape[1:],
    )


@pytest.mark.parametrize("alteration", [{"shift": 2}, {"flip": True}, {"erase": 4}, {"shift": 1, "erase": 3}])
def test_events_are_altered_as_the_pixels_that_they_are(alteration):
    maps = np.random.default_rng(5).integers(0, 2, (40, 2, 5, 6))
    pixels = samples(maps.reshape(40, -1), (2, 5, 6))
    frames = samples(events_of(maps), (2, 5, 6), encoder=Encoder.parse("frames/1ms"), steps=1)
    altered = first(frames, **alteration)
    np.testing.assert_array_equal(altered[:, 0], first(pixels, **alteration))
    assert (altered[:, 0] != maps.reshape(40, -1)).any()


@pytest.mark.parametrize(
    ("kind", "alteration"),
    [
        *(("events", {"noise": 0.5}), ("images", {"drop": 0.5}), ("images", {"late": 2})),
        *(("sequences", {"shift": 1}), ("sequences", {"flip": True}), ("sequences", {"erase": 1})),
    ],
)
def test_what_cannot_be_altered_is_refused(kind, alteration):
    values = {"events": events_of(np.ones((1, 2, 3, 3))), "images": np.ones((1, 18), np.int8)}
    one = samples(values.get(kind, np.ones((1, 4, 3), np.int8)), (2, 3, 3), encoder=None)
    (name,) = alteration
    with pytest.raises(NetworkError, match=f"^{name.capitalize()} must be 0 for {kind}, not "):
        first(one, **alteration)


def test_events_begin_later_together():
    values = events_of(np.ones((200, 2, 3, 3)))
    delayed = samples(values, (2, 3, 3))._delayed(values, 3, np.random.default_rng(0))
    starts = delayed.time_us.reshape(200, 18)
    assert set(starts[:, 0].tolist()) == {0, 1, 2, 3}
    assert (starts == starts[:, :1]).all()
    frames = samples(values, (2, 3, 3), encoder=Encoder.parse("frames/2us"), steps=2)
    late = first(frames, late=3).sum(axis=2)
    assert {tuple(row) for row in late.tolist()} == {(18, 0), (0, 18)}


def test_sequences_begin_later_in_silence():
    values = np.arange(1, 13, dtype=np.int8).reshape(1, 6, 2).repeat(100, axis=0)
    late = first(samples(values, (2, 1, 1), encoder=Encoder.parse("spikes"), steps=6), late=2)
    expected = {(*[0] * (2 * delay), *range(1, 13 - 2 * delay)) for delay in (0, 1, 2)}
    assert {tuple(row) for row in late.reshape(100, 12).tolist()} == expected


def test_a_share_of_the_events_is_dropped():
    frames = samples(events_of(np.ones((100, 2, 5, 5))), (2, 5, 5), encoder=Encoder.parse("frames/1us"), steps=1)
    lost = 1 - first(frames, drop=0.5).mean(axis=(1, 2))
    assert 0.2 < lost.mean() < 0.3
    assert lost.min() < 0.1
    assert 0.4 < lost.max() < 0.7


def test_values_of_sequences_are_dropped_and_noisy():
    values = np.full((100, 20, 3), -8, np.int8)
    one = samples(values, (3, 1, 1), encoder=Encoder.parse("spikes"), steps=20, low=-8, high=8)
    lost = first(one, drop=0.5)
    assert set(np.unique(lost)) == {-8, 0}
    assert 0.2 < (lost == 0).mean() < 0.3
    noisy = first(one, noise=0.25)
    assert noisy.min() == -8
    assert 0.5 < (noisy == -8).mean() < 0.65
    assert noisy.max() > -4


def test_sequences_come_as_they_are():
    values = np.random.default_rng(0).integers(0, 2, (7, 4, 3)).astype(np.int8)
    np.testing.assert_array_equal(first(samples(values, (3, 1, 1), encoder=Encoder.parse("spikes"))), values)
