from dataclasses import dataclass, field
from random import Random

import pytest
from streams import simulate

from hw.accumulator import Accumulator
from quant.ranges import Range

FETCH, EARLY = 2, 1  # cycles from a row's fetch, and from its control, to the operation


@dataclass(frozen=True, kw_only=True)
class Operation:
    """What an accumulator does in one cycle: nothing, or an addition to a row, or a take from a bank of a row."""

    row: int = 0
    bank: int = 0
    add: int = 0
    take: int = 0
    clear: int = 0
    hand: int = 0
    line: int = 0
    operands: list[int] = field(default_factory=list)
    mark: int = 0
    reached: int = 0


def run(unit, operations):
    """Sums taken, in the order of the operations that take."""
    taken = []
    marked = ("mark", "reached") if unit.marks else ()
    controls = ("row", "bank", "add", "take", *(("hand", "line") if unit.aside else ("clear",)))

    async def bench(ctx):
        for cycle in range(-FETCH, len(operations)):
            now, following, fetched = (
                operations[at] if 0 <= at < len(operations) else Operation()
                for at in (cycle, cycle + EARLY, cycle + FETCH)
            )
            ctx.set(unit.fetch_row, fetched.row)
            for name in controls:
                ctx.set(getattr(unit, name), getattr(following, name))
            for name in marked:
                ctx.set(getattr(unit, name), getattr(now, name))
            for lane, value in enumerate(now.operands):
                ctx.set(unit.operands[lane], value)
            if now.take:
                taken.append([ctx.get(unit.taken[lane]) for lane in range(unit.units)])
            await ctx.tick()

    simulate(unit, bench)
    return taken


def expected(unit, operations):
    lanes = range(unit.banks * unit.units)
    sums = [[0 for _ in lanes] for _ in range(unit.rows)]
    known = [[0 for _ in lanes] for _ in range(unit.rows)]
    kept = [list(row) for row in sums]
    taken = []
    for now in operations:
        bank = lanes[now.bank * unit.units : (now.bank + 1) * unit.units]
        if now.add:
            for lane in lanes:
                if not known[now.row][lane] & now.mark:
                    sums[now.row][lane] += now.operands[lane]
                if now.reached >> lane & 1:
                    known[now.row][lane] |= now.mark
        if now.take:
            taken.append([kept[now.line][lane] if unit.aside else sums[now.row][lane] for lane in bank])
        if now.hand:
            kept = sums
            sums, known = ([[0 for _ in lanes] for _ in range(unit.rows)] for _ in range(2))
        if now.take and now.clear:
            for lane in bank:
                sums[now.row][lane], known[now.row][lane] = 0, 0
    return taken


def accumulator(rows, banks, units, **fields):
    return Accumulator(rows=rows, banks=banks, units=units, drive=Range(-1000, 1000), operand=Range(-8, 7), **fields)


def set_all(unit):
    """What a core does after a reset: takes that clear every row."""
    return [*sweep(unit, 1, unit.rows * unit.banks), *[Operation()] * 3]


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


def random_operations(random, unit, count, rows):
    """Additions and takes, each with no relation to the one before but that it may come from the same few rows."""
    lanes = unit.banks * unit.units
    operations = []
    for _ in range(count):
        add, reached = random.random() < 0.7, random.getrandbits(lanes) | 1
        source = random.randrange(unit.marks + 1) if unit.marks else 0
        operands = [random.randint(-8, 7) * (reached >> lane & 1) for lane in range(lanes)]
        operations.append(
            Operation(
                row=random.choice(rows),
                bank=random.randrange(unit.banks),
                add=int(add),
                take=int(not add and random.random() < 0.7),
                clear=random.randint(0, 1),
                operands=operands,
                mark=1 << source if source < unit.marks else 0,
                reached=reached,
            )
        )
    return operations


@pytest.mark.parametrize("marks", [0, 1, 2])
@pytest.mark.parametrize(("rows", "banks", "units"), [(1, 1, 2), (2, 2, 1), (3, 1, 1), (3, 2, 2), (6, 3, 1)])
def test_any_order_of_rows_where_sums_are_forwarded(rows, banks, units, marks):
    unit, random = accumulator(rows, banks, units, forwards=True, marks=marks), Random(rows + marks)
    operations = set_all(unit)
    for _ in range(8):
        few = random.sample(range(rows), min(rows, 2))
        operations += random_operations(random, unit, 30, few)
    assert run(unit, operations) == expected(unit, operations)


@pytest.mark.parametrize("distance", [1, 2, 3, 4])
@pytest.mark.parametrize("rows", [1, 2, 3, 5])
def test_a_sum_comes_back_at_every_distance(rows, distance):
    """Row 0 again after so many cycles, in which other rows or none are at work: the sum is forwarded or read."""
    unit = accumulator(rows, 1, 1, forwards=True)
    for between in [[Operation()] * 3, [Operation(row=rows - 1, add=rows > 1, operands=[7])] * 3]:
        first = Operation(row=0, add=1, operands=[5])
        operations = set_all(unit)
        for _ in range(3):
            operations += [first, *between[: distance - 1]]
        operations += [Operation(row=0, take=1, clear=1), Operation(row=0, take=1), Operation(row=0, take=1)]
        assert run(unit, operations)[rows:] == [[15], [0], [0]]


@pytest.mark.parametrize("forwards", [False, True])
def test_a_take_that_clears_spares_an_addition_right_behind_it(forwards):
    unit = accumulator(4, 1, 1, forwards=forwards)
    add, take = Operation(row=2, add=1, operands=[6]), Operation(row=2, take=1, clear=1)
    gap = [Operation(row=0)] * (0 if forwards else 3)
    operations = [*set_all(unit), add, *gap, take, *gap, add, *gap, take]
    assert run(unit, operations)[4:] == [[6], [6]]


@pytest.mark.parametrize("rows", [1, 3])
def test_marks_are_of_a_lane_and_of_a_source_and_end_with_a_clear(rows):
    unit = accumulator(rows, 2, 1, forwards=True, marks=2)

    def add(mark, reached):
        return Operation(add=1, operands=[reached & 1, reached >> 1], mark=mark, reached=reached)

    def takes(clear):
        return [Operation(bank=bank, take=1, clear=clear) for bank in range(2)]

    operations = [
        *set_all(unit),
        *[add(1, 0b01), add(1, 0b01), add(1, 0b11), *takes(0)],  # once a lane
        *[add(2, 0b01), add(2, 0b01), *takes(0)],  # and once a source
        *[add(0, 0b11), add(0, 0b11), *takes(0)],  # but without a mark every time
        *[add(1, 0b11), add(2, 0b11), *takes(1)],  # lane 1 has not seen source 2
        *[add(1, 0b11), *takes(0)],
    ]
    assert run(unit, operations)[rows * 2 :] == [[1], [1], [2], [1], [4], [3], [4], [4], [1], [1]]


def test_a_lane_that_is_not_reached_is_not_marked():
    unit = accumulator(3, 1, 2, forwards=True, marks=1)
    once = Operation(add=1, operands=[3, 0], mark=1, reached=0b01)
    both = Operation(add=1, operands=[3, 3], mark=1, reached=0b11)
    operations = [*set_all(unit), once, once, both, both, Operation(take=1)]
    assert run(unit, operations)[-1] == [3, 3]


@pytest.mark.parametrize(("rows", "banks", "units"), [(1, 1, 1), (1, 4, 2), (2, 1, 2), (2, 3, 2)])
@pytest.mark.parametrize("marks", [0, 2])
def test_sums_that_are_set_aside_stay_while_others_are_added(rows, banks, units, marks):
    """Additions and takes in the same cycles, in any order, and between them hands that may follow each other."""
    unit, random = accumulator(rows, banks, units, aside=True, marks=marks), Random(10 * rows + banks)
    lanes, operations = banks * units, [Operation(hand=1), Operation(hand=1)]
    for _ in range(400):
        chosen = random.choice(["hand", *["add", "take", "both", "both", "none"] * 2])
        fields = {"hand": int(chosen == "hand"), "row": random.randrange(rows), "line": random.randrange(rows)}
        fields |= {"bank": random.randrange(banks), "take": int(chosen in ("take", "both", "hand"))}
        if chosen in ("add", "both"):
            fields |= {"add": 1, "operands": [random.randint(-8, 7) for _ in range(lanes)]}
            if marks:
                fields |= {"mark": 1 << random.randrange(marks), "reached": random.getrandbits(lanes)}
        operations.append(Operation(**fields))
    assert run(unit, operations) == expected(unit, operations)
