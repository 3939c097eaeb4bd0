// The model of a testbench, as the main program of cocotb wants it. While the testbench's port run is 1, its clock runs
// here: there is neither VPI nor Python between the edges. It stops to let others look: cocotb starts it again.
#pragma once
#include "Vmodel.h"

class Vtop final {
    static constexpr int CYCLES = 1 << 16;
    Vmodel model;

public:
    explicit Vtop(const char* name) : model{name} {
        model.run = 0;  // what nobody has set is random
    }

    void eval_step() {
        model.eval_step();
        if (!model.run) return;
        for (int cycle = 0; cycle < CYCLES && !model.done; ++cycle) {
            model.clk = 1;
            model.eval_step();
            model.clk = 0;
            model.eval_step();
        }
        model.run = 0;
    }

    void eval_end_step() { model.eval_end_step(); }
    bool eventsPending() { return model.eventsPending(); }
    uint64_t nextTimeSlot() { return model.nextTimeSlot(); }
    void final() { model.final(); }
};
