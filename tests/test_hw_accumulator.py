from dataclasses import dataclass, field
from random import Random

import pytest
from streams import simulate

from hw.accumulator import Accumulator
from quant.ranges import Range

FETCH = 2  # cycles from a row's fetch to its operation


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What an accumulator does in one cycle: nothing, or an addition to a row, or a take from a bank of a row."""

    row: int = 0
    bank: int = 0
    add: int = 0
    take: int = 0
    clear: int = 0
    operands: list[int] = field(default_factory=list)


def run(unit, operations):
    """Sums taken, in the order of the operations that take."""
    taken = []

    async def bench(ctx):
        for cycle in range(-FETCH, len(operations)):
            fetched = operations[cycle + FETCH] if cycle + FETCH < len(operations) else Operation()
            ctx.set(unit.fetch_row, fetched.row)
            now = operations[cycle] if cycle >= 0 else Operation()
            for name in ("row", "bank", "add", "take", "clear"):
                ctx.set(getattr(unit, name), getattr(now, name))
            for lane, value in enumerate(now.operands):
                ctx.set(unit.operands[lane], value)
            if now.take:
                taken.append([ctx.get(unit.taken[lane]) for lane in range(unit.units)])
            await ctx.tick()

    simulate(unit, bench)
    return taken


def expected(unit, operations):
    sums = [[0] * (unit.banks * unit.units) for _ in range(unit.rows)]
    taken = []
    for now in operations:
        first = now.bank * unit.units
        if now.add:
            sums[now.row] = [a + b for a, b in zip(sums[now.row], now.operands, strict=True)]
        if now.take:
            taken.append(sums[now.row][first : first + unit.units])
        if now.take and now.clear:
            sums[now.row][first : first + unit.units] = [0] * unit.units
    return taken


def accumulator(rows, banks, units):
    return Accumulator(rows=rows, banks=banks, units=units, drive=Range(-1000, 1000), operand=Range(-8, 7))


def event(random, unit):
    """Additions to every row, as an event makes them."""
    lanes = unit.banks * unit.units
    return [
        Operation(row=row, add=1, operands=[random.randint(-8, 7) for _ in range(lanes)]) for row in range(unit.rows)
    ]


def sweep(unit, clear, words):
    """Takes of the first words, as a tick makes them."""
    places = [(row, bank) for row in range(unit.rows) for bank in range(unit.banks)]
    return [Operation(row=row, bank=bank, take=1, clear=clear) for row, bank in places[:words]]


@pytest.mark.parametrize(
    ("rows", "banks", "units"),
    [(1, 1, 1), (1, 1, 3), (1, 4, 2), (2, 1, 2), (2, 3, 2), (3, 1, 1), (3, 3, 2), (5, 1, 4), (5, 2, 1)],
)
def test_sums_of_events_are_taken_by_sweeps(rows, banks, units):
    unit, random = accumulator(rows, banks, units), Random(rows)
    operations = []
    for step in range(25):
        for _ in range(random.choice([0, 0, 1, 2, 9])):
            operations += event(random, unit)
            operations += [Operation()] * random.choice([0, 0, 0, 1, 2, 3])
        # The last row may be shorter than the others.
        words = rows * banks if step % 2 else (rows - 1) * banks + 1
        operations += sweep(unit, random.random() < 0.6 and words == rows * banks, words)
    assert run(unit, operations) == expected(unit, operations)


@pytest.mark.parametrize("rows", [1, 2])
def test_sums_in_registers_take_operations_in_any_order(rows):
    unit, random = accumulator(rows, 2, 2), Random(0)
    operations = []
    for _ in range(300):
        add, row = random.randint(0, 1), random.randrange(rows)
        clear = random.randint(0, 1)
        operands = [random.randint(-8, 7) for _ in range(4)]
        operations.append(
            Operation(row=row, bank=random.randrange(2), add=add, take=1 - add, clear=clear, operands=operands)
        )
    assert run(unit, operations) == expected(unit, operations)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_an_event_right_behind_another_adds_to_it(rows):
    unit = accumulator(rows, 1, 1)
    two = [Operation(row=row, add=1, operands=[value]) for value in (5, -2) for row in range(rows)]
    assert run(unit, two + sweep(unit, 1, rows)) == [[3]] * rows


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_take_holds_the_sums_and_clear_clears_them(rows):
    unit = accumulator(rows, 1, 1)
    one = [Operation(row=row, add=1, operands=[row + 3]) for row in range(rows)]
    held = [[row + 3] for row in range(rows)]
    sweeps = [*sweep(unit, 0, rows), *sweep(unit, 1, rows), *sweep(unit, 0, rows)]
    assert run(unit, one + sweeps) == held + held + [[0]] * rows


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_clear_spares_the_other_banks(rows):
    unit = accumulator(rows, 3, 2)
    ones = [Operation(row=row, add=1, operands=[1, 2, 3, 4, 5, 6]) for row in range(rows)]
    middle = [Operation(row=row, bank=1, take=1, clear=1) for row in range(rows)]
    first_row = [Operation(row=0, bank=bank, take=1) for bank in range(3)]
    assert run(unit, ones + middle + first_row) == [[3, 4]] * rows + [[1, 2], [0, 0], [5, 6]]


@pytest.mark.parametrize("rows", [1, 3])
def test_clear_without_take_does_nothing(rows):
    unit = accumulator(rows, 1, 1)
    one = [Operation(row=row, add=1, operands=[7]) for row in range(rows)]
    assert run(unit, [*one, *([Operation(clear=1)] * 3), *sweep(unit, 0, 1)]) == [[7]]


@pytest.mark.parametrize("rows", [2, 3])
def test_sums_reach_both_ends_of_their_range(rows):
    unit = Accumulator(rows=rows, banks=1, units=1, drive=Range(-16, 15), operand=Range(-8, 7))
    for values in ([-8, -8], [7, 7, 1]):
        operations = [Operation(row=row, add=1, operands=[value]) for value in values for row in range(rows)]
        assert run(unit, operations + sweep(unit, 1, rows)) == [[sum(values)]] * rows
