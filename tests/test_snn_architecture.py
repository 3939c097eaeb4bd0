import re

import pytest

from snn.architecture import ArchitectureError, Conv, Dense, Pool, parse


def test_layers_as_papers_write_them():
    assert parse("32C5s2-AP2-64C3p0g2-MP3-256-10") == (
        Conv(channels=32, kernel=5, stride=2, padding=2),
        Pool(kernel=2),
        Conv(channels=64, kernel=3, padding=0, groups=2),
        Pool(kernel=3, maximum=True),
        Dense(neurons=256),
        Dense(neurons=10),
    )
    assert parse("") == ()


@pytest.mark.parametrize(
    "word", ["32c5", "C5", "32C", "P2", "AP0", "0", "32C0", "32C3s0", "32C3g0", "-1e3", "3.5", "99999999"]
)
def test_words_that_are_no_layer(word):
    wrong = word.lstrip("-")
    with pytest.raises(
        ArchitectureError, match=re.escape(f"Layer must be written as 32C5s2p2, AP2, MP2 or 128, not {wrong!r}")
    ):
        parse(word)


def test_a_map_must_come_before_dense_layers():
    with pytest.raises(ArchitectureError, match="'AP2' of '8-AP2' must stand before the dense layers"):
        parse("8-AP2")
