"""What tests of the command line share."""

VERBS = (
    "demo",
    "recipes",
    "train",
    "check",
    "quantize",
    "evaluate",
    "generate",
    "cosim",
    "build",
    "flash",
    "run",
    "report",
)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def refused(outcome, words):
    assert outcome.code == 2
    assert outcome.out == ""
    *stages, last = outcome.err.splitlines()
    assert last == words
    assert all(stage.endswith(" ...") for stage in stages)
