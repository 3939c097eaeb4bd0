"""Walk: the words of a sweep, one after the other."""

from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .core_plan import CorePlan
from .layout import Fields
from .serialiser import PlaceLayout

__all__ = ["Walk"]


class Walk(wiring.Component):
    """Counts through the words of a sweep: bank by bank, row by row, and their place in the map.

    Words come in order, so that whoever needs to know which one has come counts them, instead of a number that goes
    with the word through all stages.

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
    """

    def __init__(self, plan: CorePlan):
        self.plan = plan
        super().__init__(
            {
                "step": In(1),
                "index": Out(range(plan.sweeps)),
                "bank": Out(range(plan.banks)),
                "line": Out(range(plan.rows)),
                "place": Out(PlaceLayout.of(plan.shape, plan.units)),
                "end": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        plan, blocks = self.plan, self.plan.word_tiling.blocks
        columns, _, _ = Fields(plan.shape).sizes
        x, y, _ = Fields(plan.shape).widths
        block, column, down = Signal(range(blocks)), Signal(x), Signal(y)
        m.d.comb += [
            self.place.low.eq(Cat(column, down)),
            self.place.high.eq(block),
            self.end.eq(self.index == plan.sweeps - 1),
        ]
        with m.If(self.step):
            m.d.sync += [self.index.eq(self.index + 1), self.bank.eq(self.bank + 1), block.eq(block + 1)]
            with m.If((self.bank == plan.banks - 1) | (block == blocks - 1)):
                m.d.sync += [self.bank.eq(0), self.line.eq(self.line + 1)]
            with m.If(block == blocks - 1):
                m.d.sync += [block.eq(0), column.eq(column + 1)]
                with m.If(column == columns - 1):
                    m.d.sync += [column.eq(0), down.eq(down + 1)]
            with m.If(self.end):
                m.d.sync += [item.eq(0) for item in (self.index, self.bank, self.line, block, column, down)]
        return m
