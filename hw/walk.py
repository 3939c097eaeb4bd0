"""Walk: the words of a sweep, one after the other."""

from typing import Any

from amaranth import Array, Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .core_plan import CorePlan
from .layout import Fields
from .serialiser import PlaceLayout

__all__ = ["Walk"]


class Walk(wiring.Component):
    """Counts through the words of a sweep: bank by bank, row by row, and their place in the map.

    Words come in order, so that whoever needs to know which one has come counts them, instead of a number that goes
    with the word through all stages. Where a sweep skips groups of them (:mod:`hw.visits`), the number of a group goes
    with its first word: whoever counts jumps there.

    Parameters
    ----------
    plan : CorePlan

    Members
    -------
    step : In(1)
        The word is here in this cycle; the next one follows.
    index : Out(range(plan.sweeps))
        Number of the word.
    bank : Out(range(plan.banks))
        Bank of the accumulators that has its sums.
    line : Out(range(plan.rows))
        Row that has them.
    place : Out(PlaceLayout)
        Where it lies.
    end : Out(1)
        It is the last one of the sweep.
    edge : Out(1)
        It is the last one of its group. Like the next two only if the plan skips.
    jump, group : In
        The word of the next cycle is the first of that group.
    """

    def __init__(self, plan: CorePlan):
        self.plan = plan
        groups = {"edge": Out(1), "jump": In(1), "group": In(range(plan.groups))} if plan.skips else {}
        super().__init__(
            {
                **groups,
                "step": In(1),
                "index": Out(range(plan.sweeps)),
                "bank": Out(range(plan.banks)),
                "line": Out(range(plan.rows)),
                "place": Out(PlaceLayout.of(plan.shape, plan.units)),
                "end": Out(1),
            }
        )

    def follow(self, m: Module, step: Any, before: Any) -> None:
        """Count the words of a stage, of which ``step`` says that one is there, and that stand after ``before``."""
        m.d.comb += self.step.eq(step)
        if self.plan.skips:
            m.d.comb += [self.jump.eq(before.jump), self.group.eq(before.group)]

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        plan, tiling = self.plan, self.plan.word_tiling
        columns, _, _ = Fields(plan.shape).sizes
        x, y, _ = Fields(plan.shape).widths
        column, down, own = Signal(x), Signal(y), Signal(range(tiling.blocks))
        flat, bits = tiling.places == 1, plan.banks.bit_length() - 1
        block, full = (self.index, self.end) if flat else (own, own == tiling.blocks - 1)
        m.d.comb += [
            self.place.low.eq(Cat(column, down)),
            self.place.high.eq(block),
            self.end.eq(self.index == plan.sweeps - 1),
        ]
        if plan.whole_rows:
            m.d.comb += [self.bank.eq(self.index[:bits]), self.line.eq(self.index[bits:])]
        with m.If(self.step):
            m.d.sync += self.index.eq(self.index + 1)
            if not plan.whole_rows:
                m.d.sync += self.bank.eq(self.bank + 1)
                with m.If((self.bank == plan.banks - 1) | full):
                    m.d.sync += [self.bank.eq(0), self.line.eq(self.line + 1)]
            if not flat:
                m.d.sync += own.eq(own + 1)
                with m.If(full):
                    m.d.sync += [own.eq(0), column.eq(column + 1)]
                    with m.If(column == columns - 1):
                        m.d.sync += [column.eq(0), down.eq(down + 1)]
            with m.If(self.end):
                m.d.sync += [self.index.eq(0), *(item.eq(0) for item in (own, column, down) if not flat)]
                if not plan.whole_rows:
                    m.d.sync += [self.bank.eq(0), self.line.eq(0)]
        if plan.skips:
            inner = (plan.group_rows - 1).bit_length()
            m.d.comb += self.edge.eq(self.end | ((self.bank == plan.banks - 1) | full) & self.line[:inner].all())
            with m.If(self.jump):
                m.d.sync += self._jump({"column": column, "down": down, "own": own})
        return m

    def _jump(self, place: dict[str, Signal]) -> list[Any]:
        """Go to the first word of the group."""
        plan = self.plan
        columns, blocks = Fields(plan.shape).sizes[0], plan.word_tiling.blocks
        firsts = {"index": [word for word, _ in plan.group_places]}
        targets = {"index": self.index}
        if not plan.whole_rows:
            firsts["line"] = [group * plan.group_rows for group in range(plan.groups)]
            targets |= {"line": self.line, "bank": self.bank}
        if plan.word_tiling.places > 1:
            firsts["column"] = [at % columns for _, at in plan.group_places]
            firsts["down"] = [at // columns for _, at in plan.group_places]
            firsts["own"] = [word % blocks for word, _ in plan.group_places]
            targets |= place
        numbers = {name: Array(Const(value, len(targets[name])) for value in values) for name, values in firsts.items()}
        return [target.eq(numbers[name][self.group] if name in numbers else 0) for name, target in targets.items()]
