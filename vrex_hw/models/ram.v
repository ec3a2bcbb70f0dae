// A large memory for simulation: one write port with an enable for every GRAIN bits, one
// synchronous read port. A read gives what was there before a write of the same cycle.
// Nothing is initialised: a memory of gigabits needs no text. A read that is not enabled keeps q.
module vrex_ram #(
    parameter WIDTH = 8,
    parameter DEPTH = 2,
    parameter GRAIN = 8,
    parameter ADDRESS = 1
) (
    input clk,
    input [WIDTH / GRAIN - 1 : 0] write,
    input [ADDRESS - 1 : 0] write_address,
    input [WIDTH - 1 : 0] write_data,
    input read,
    input [ADDRESS - 1 : 0] read_address,
    output reg [WIDTH - 1 : 0] read_data
);
    reg [WIDTH - 1 : 0] words [0 : DEPTH - 1];
    wire [WIDTH - 1 : 0] mask;

    genvar k;
    generate
        for (k = 0; k < WIDTH / GRAIN; k = k + 1) begin : grains
            assign mask[GRAIN * k +: GRAIN] = {GRAIN{write[k]}};
        end
    endgenerate

    // One assignment of a whole word: simulators do it far faster than one for each grain.
    always @(posedge clk) begin
        if (|write)
            words[write_address] <= words[write_address] & ~mask | write_data & mask;
        if (read)
            read_data <= words[read_address];
    end
endmodule
