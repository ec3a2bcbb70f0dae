// The loop that drives a verilated model: queues of beats, handshakes, idling, counting.
//
// A stream is a valid, a ready and its payload's ports. A beat is the bytes of these ports, one
// port after the other, each rounded up to whole bytes. One cycle is one rising edge of clk: what
// holds before the edge decides which beats move; what is driven for the next cycle is written
// after the edge (vrex_sim.drivers does the same under cocotb).
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

struct Port {
    uint8_t* at;  // Verilator keeps a port little-endian, its unused high bits 0
    uint32_t bytes;
};

enum Outcome : uint32_t { REACHED, ENDED, STUCK, CHANGED, FELL };

struct Stream {
    bool input;
    uint8_t* valid;
    uint8_t* ready;
    std::vector<Port> ports;

    uint32_t bytes = 0;            // of a beat
    int64_t last_bit = -1;         // the bit that ends a packet; -1: every beat is a packet
    double pause = 0;              // chance of a pause, a cycle
    std::mt19937 random{};
    std::vector<uint8_t> beats{};  // input: to be sent, from `head` on; output: taken
    size_t head = 0;
    std::vector<uint64_t> cycles{};  // output: when each of `beats` was taken
    std::vector<uint8_t> held{};     // output: the beat that waits to be taken
    bool on = false;                 // input: a beat is offered; output: ready is high
    bool holds = false;
    uint64_t done = 0;       // input: beats sent; output: packets taken
    uint64_t target = ~0ul;  // the loop stops when `done` gets there

    void start() {
        for (const Port& port : ports) bytes += port.bytes;
        held.resize(bytes);
    }

    void drop() {
        beats.clear();
        cycles.clear();
        head = 0;
        done = 0;
        on = holds = false;
        *(input ? valid : ready) = 0;
    }

    // Draws as Python's random.random() does, so that pauses are those of vrex_sim.drivers.
    bool pauses() {
        if (pause == 0) return false;
        const uint32_t high = random() >> 5, low = random() >> 6;
        return (high * 67108864.0 + low) / 9007199254740992.0 < pause;
    }

    void read(uint8_t* beat) const {
        for (const Port& port : ports) {
            std::memcpy(beat, port.at, port.bytes);
            beat += port.bytes;
        }
    }

    void write(const uint8_t* beat) {
        for (const Port& port : ports) {
            std::memcpy(port.at, beat, port.bytes);
            beat += port.bytes;
        }
    }

    // Take what was offered off the queue if it `moved`; offer the next beat.
    void send(bool moved) {
        if (moved) {
            head += bytes;
            on = false;
            ++done;
            if (head == beats.size()) {
                beats.clear();
                head = 0;
            }
        }
        if (on) return;
        if (head < beats.size() && !pauses()) {
            write(beats.data() + head);
            *valid = 1;
            on = true;
        } else if (moved) {
            *valid = 0;
        }
    }

    // Take the beat on the wires, or remember it if it has to wait; it must be the one that waited.
    Outcome watch(uint64_t cycle) {
        if (!*valid) return holds ? FELL : REACHED;
        const size_t end = beats.size();
        beats.resize(end + bytes);
        uint8_t* beat = beats.data() + end;
        read(beat);
        if (holds && std::memcmp(beat, held.data(), bytes)) return CHANGED;
        holds = !on;
        if (on) {
            cycles.push_back(cycle);
            done += last_bit < 0 || (beat[last_bit >> 3] >> (last_bit & 7) & 1);
        } else {
            std::memcpy(held.data(), beat, bytes);
            beats.resize(end);
        }
        return REACHED;
    }
};

// Runs `Model`, which has clk, rst and eval(), and knows its streams.
template <typename Model>
struct Loop {
    Model model;
    std::vector<Stream> streams;
    std::vector<Port> plain;
    uint64_t cycle = 0, moved = 0;
    uint32_t culprit = 0;        // the stream that an Outcome is about
    std::vector<uint8_t> moves;  // does a beat of the stream move at the coming edge?

    Loop() : streams(model.streams()), plain(model.plain()), moves(streams.size()) {
        for (Stream& stream : streams) stream.start();
        reset();
    }

    // Reset the model; what streams held is dropped.
    void reset() {
        for (Stream& stream : streams) stream.drop();
        moved = cycle;
        *model.rst() = 1;
        for (int i = 0; i < 2; ++i) {
            clock(0);
            clock(1);
        }
        *model.rst() = 0;
    }

    void clock(uint8_t level) {
        *model.clk() = level;
        model.eval();
    }

    // Run until a stream reaches its target, `count` cycles, or trouble.
    Outcome run(uint64_t count, uint64_t patience) {
        for (const uint64_t end = cycle + count; cycle < end;) {
            clock(0);
            for (size_t i = 0; i < streams.size(); ++i) {
                Stream& stream = streams[i];
                moves[i] = *stream.valid & *stream.ready;
                if (stream.input) continue;
                const Outcome fault = stream.watch(cycle);
                if (fault == REACHED) continue;
                culprit = i;
                return fault;
            }
            clock(1);
            bool reached = false;
            for (size_t i = 0; i < streams.size(); ++i) {
                Stream& stream = streams[i];
                if (stream.input)
                    stream.send(moves[i]);
                else
                    *stream.ready = stream.on = !stream.pauses();
                if (moves[i]) moved = cycle;
                reached |= stream.done >= stream.target;
            }
            ++cycle;
            if (reached) return REACHED;
            if (cycle - moved > patience) return STUCK;
        }
        return ENDED;
    }
};
