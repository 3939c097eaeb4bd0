import json
import subprocess
from random import Random

import pytest
from amaranth.back import rtlil
from streams import clock_in, simulate

from boards.tools import ToolError, find_tool
from hw.port import BLOCK_RAMS, SPRAM_WORDS, BlockRam
from hw.store import Store

WORDS = [(index * 37 + 5) % 256 for index in range(21)]


def latency(store):
    return 1 + (len(store.init) > store.bank_words)


def reads(store, addresses, *, written=()):
    """Words of the addresses, after some were written."""
    found = []

    async def bench(ctx):
        for address, word in written:
            await clock_in(ctx, store, address=address, write=1, write_data=word)
        if written:
            ctx.set(store.write, 0)
        for cycle in range(len(addresses) + latency(store)):
            if cycle >= latency(store):
                found.append(ctx.get(store.data))
            await clock_in(ctx, store, address=addresses[min(cycle, len(addresses) - 1)])

    simulate(store, bench)
    return found


@pytest.mark.parametrize("bank_words", [None, 16, 8, 4])
@pytest.mark.parametrize("storage", ["rom", "ram"])
def test_words_of_the_configuration(storage, bank_words):
    """A word a cycle, in any order and from bank to bank; 21 words leave a small last bank of 5, 5 or 1."""
    store, random = Store(width=8, init=WORDS, storage=storage, bank_words=bank_words), Random(1)
    addresses = [*range(21), *(random.randrange(21) for _ in range(60))]
    assert reads(store, addresses) == [WORDS[address] for address in addresses]


@pytest.mark.parametrize("bank_words", [None, 16, 4])
@pytest.mark.parametrize("storage", ["ram", "spram"])
def test_words_that_were_written(storage, bank_words):
    store, random = Store(width=8, init=WORDS, storage=storage, bank_words=bank_words), Random(2)
    written = [(address, random.randrange(256)) for address in (3, 20, 0, 15, 16, 4, 3)]
    expected = [0] * 21 if storage == "spram" else list(WORDS)
    for address, word in written:
        expected[address] = word
    assert reads(store, list(range(21)), written=written) == expected


def test_spram_of_a_simulation_may_hold_its_words_from_the_start():
    store = Store(width=8, init=WORDS, storage="spram", bank_words=16, preloaded=True)
    assert reads(store, list(range(21))) == WORDS


@pytest.mark.parametrize(
    ("family", "words", "width", "bank", "count"),
    [
        # One block RAM wide enough: no banks, whatever the width.
        ("ice40", 2048, 2, 2048, 1),
        ("ice40", 600, 32, 512, 6),
        # Four of 2048 x 2, and one for the rest, as with banks of 512; there are fewer.
        ("ice40", 2100, 8, 2048, 5),
        ("ecp5", 16384, 1, 16384, 1),
        ("ecp5", 2100, 64, 2048, 10),
        ("ecp5", 6272, 64, 2048, 26),
        # More than eight banks would need fewer block RAMs.
        ("ecp5", 16000, 36, 2048, 32),
    ],
)
def test_banks_are_those_of_the_fewest_block_rams(family, words, width, bank, count):
    block = BLOCK_RAMS[family]
    assert block.bank_words(words=words, width=width) == bank
    assert block.count(words=words, width=width, bank_words=bank) == count


def test_a_memory_deeper_than_eight_of_the_deepest_banks_has_more():
    assert BlockRam(((2, 8), (4, 4))).bank_words(words=100, width=3) == 4


def cells(folder, store, synthesis, platform=None):
    """Cells that yosys makes of a store, by kind."""
    try:
        tool = find_tool("yosys")
    except ToolError:
        pytest.skip("needs yosys")
    ports = [getattr(store, name) for name in store.signature.members]
    (folder / "top.il").write_text(rtlil.convert(store, name="top", ports=ports, platform=platform, emit_src=False))
    script = f"read_rtlil top.il; {synthesis} -top top; tee -q -o stat.json stat -json"
    subprocess.run([tool.path, "-q", "-p", script], cwd=folder, check=True, capture_output=True)
    found = json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]
    return {kind: count for kind, count in found.items() if not kind.startswith("$")}


def test_spram_of_the_chip(tmp_path):
    """MNIST's hidden layer: all four, and nothing else; without a register or a bit of its words."""
    words = [pow(3, index, 1 << 64) for index in range(6272)]
    store = Store(width=64, init=words, storage="spram", bank_words=SPRAM_WORDS)
    assert cells(tmp_path, store, "synth_ice40", platform=object()) == {"SB_SPRAM256KA": 4}


def test_writable_words_lie_in_as_many_block_rams(tmp_path):
    """And nothing is made around them, but what tells that none has been read yet, in the register behind."""
    store = Store(width=16, init=WORDS * 12, storage="ram")
    found = cells(tmp_path, store, "synth_ice40")
    assert found.pop("SB_RAM40_4K") == 1
    assert found == {"SB_DFFE": 1, "SB_LUT4": 17}


def test_banks_stand_behind_registers(tmp_path):
    found = cells(tmp_path, Store(width=8, init=WORDS * 28, storage="ram", bank_words=512), "synth_ecp5")
    assert found["DP16KD"] == 2
    assert found["TRELLIS_FF"] == 2 * 8 + 2
