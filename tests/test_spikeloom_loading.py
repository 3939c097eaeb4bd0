import json
from types import SimpleNamespace

import pytest

from boards.link import LinkError
from hw.image import describe_shape, weight_image
from hw.plan import plan_network
from quant.file import save_network
from spikeloom.loading import built_image, known_weights, load_board
from spikeloom.source import UsageError
from spikeloom.workspace import Workspace
from tests.links import small_network
from tests.test_hw_image import altered

BUILT, OTHER = small_network(), small_network(seed=16)
OPTIONS = {"lanes": {"first": 3, "second": 2}, "early_stop": True, "storage": "ram"}


@pytest.fixture
def build(tmp_path):
    """Folder of what looks like a reloadable build."""
    folder = tmp_path / "a" / "icebreaker"
    folder.mkdir(parents=True)
    report = {"network": "small", "options": OPTIONS, "shape": describe_shape(plan_network(BUILT, **OPTIONS))}
    (folder / "report.json").write_text(json.dumps(report))
    return folder


def altered_report(build, **changes):
    report = json.loads((build / "report.json").read_text())
    (build / "report.json").write_text(json.dumps(report | changes))


def test_weights_as_the_build_takes_them(build):
    image = built_image(OTHER, build)
    assert image == weight_image(plan_network(OTHER, **OPTIONS))
    assert image == built_image(OTHER, build / "small.bin")
    assert image.crc != built_image(BUILT, build).crc


def test_a_network_of_another_shape_is_refused_by_what_differs(build):
    words = r"^Network small must have the shape of small, which was built in .*icebreaker, but for its weights; "
    with pytest.raises(UsageError, match=words + "threshold of population second: 7, not 6: build it, too$"):
        built_image(altered(1, threshold=7, reset_amount=6), build)


def test_a_network_of_other_populations_is_refused_by_name(build):
    altered_report(build, options=OPTIONS | {"units": {"first": 1, "second": 1, "third": 2}, "lanes": {"third": 2}})
    with pytest.raises(UsageError, match=r"; lanes of first: 5, not 3: build it, too$"):
        built_image(OTHER, build)


def test_a_build_that_takes_no_weights(build):
    altered_report(build, shape=None)
    with pytest.raises(UsageError, match=r"must be made with --reloadable or --spram so that weights can be loaded$"):
        built_image(OTHER, build)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"shape": 3}'])
def test_no_build(build, text):
    (build / "report.json").write_text(text)
    with pytest.raises(UsageError, match=r"^Folder .*icebreaker must hold a build, with its report.json$"):
        built_image(OTHER, build)


def test_loading_tells_what_was_read_back():
    def load(image, progress):
        progress(28, 28)

    info = SimpleNamespace(build_hash="ab" * 16, weights_crc=7)
    link, done = SimpleNamespace(port="p", load=load, info=lambda: info), []
    report = load_board(SimpleNamespace(network="small", size=28), link, progress=lambda *far: done.append(far))
    assert report.as_dict() == {
        "network": "small", "port": "p", "build_hash": "ab" * 16, "bytes": 28, "weights_crc": 7
    }  # fmt: skip
    assert done == [(28, 28)]


def test_what_a_board_may_hold(tmp_path):
    workspace = Workspace(folder=tmp_path)
    board = SimpleNamespace(build_hash="34")
    assert known_weights(OTHER, workspace, board, None) == (None, [])
    workspace.record(OTHER, "build icebreaker", {"build_hash": "12", "weights_crc": 5})
    assert known_weights(OTHER, workspace, board, None) == ("12", [5])
    workspace.record(OTHER, "load", {"build_hash": "34", "weights_crc": 6})
    assert known_weights(OTHER, workspace, board, None) == ("34", [5, 6])
    assert known_weights(OTHER, workspace, SimpleNamespace(build_hash="56"), None) == ("12", [5, 6])


def test_load_on_the_command_line(spikeloom, build, monkeypatch):
    loaded = []

    class Fake:
        def __init__(self, port, baud):
            self.port = port

        def __enter__(self):
            return self

        def __exit__(self, *exception):
            pass

        def load(self, image, progress):
            loaded.append(image)
            progress(image.size, image.size)

        def info(self):
            return SimpleNamespace(build_hash="ab" * 16, weights_crc=loaded[-1].crc)

    monkeypatch.setattr("boards.link.Link", Fake)
    place = build.parent.parent / "b" / "network.npz"
    place.parent.mkdir()
    save_network(place, OTHER)
    found = spikeloom("load", place, "--port", "here", "--build", build, "--json")
    assert found.code == 0, found.err
    image = weight_image(plan_network(OTHER, **OPTIONS))
    assert loaded == [image]
    assert found.json["weights_crc"] == image.crc
    assert json.loads((place.parent / "report.json").read_text())["load"] == found.json
    save_network(place, altered(0, bias=1))
    refused = spikeloom("load", place, "--port", "here", "--build", build)
    assert refused.code == 2
    assert refused.err.strip().endswith("bias of population first: 1, not 0: build it, too")
    assert len(loaded) == 1


def test_the_error_of_a_board_ends_a_load(spikeloom, build, monkeypatch):
    def refuse(port, baud):
        raise LinkError("Port x is in use")

    monkeypatch.setattr("boards.link.Link", refuse)
    place = build.parent.parent / "network.npz"
    save_network(place, OTHER)
    found = spikeloom("load", place, "--port", "x", "--build", build)
    assert (found.code, found.err.strip().splitlines()[-1]) == (2, "Port x is in use")
    assert not (build.parent.parent / "report.json").exists()


def test_a_report_of_other_options_is_refused(spikeloom, build):
    report = build / "report.json"
    values = json.loads(report.read_text())
    report.write_text(json.dumps({**values, "options": {**values["options"], "colour": 3}}))
    place = build.parent.parent / "network.npz"
    save_network(place, OTHER)
    found = spikeloom("load", place, "--port", "x", "--build", build)
    assert found.code == 2
    assert found.err.strip().endswith("must name options of this version in its report.json: build it again")
