//! The inner loop: many linear combinations of the same cells, written so that the compiler makes vector code of it.
//!
//! Per block of 64 bytes and four inputs, all 16 XOR sums of the four are made once (11 XORs). An output is then evaluated
//! bit by bit of its coefficients, highest first (Horner): double, then add for each four inputs the one sum that this bit
//! of their coefficients selects. So an output costs seven doublings and two XORs per input, without branches on data,
//! table lookups by data, intrinsics or unsafe code. On baseline x86-64 this compiles to `pcmpgtb`, `paddb`, `pand`, `pxor`.

use super::field;
use alloc::vec;
use alloc::vec::Vec;

/// What one vector register holds on every target of interest.
type Lanes = [u8; 16];
/// Four registers: enough independent work to hide the latency of a doubling.
type Block = [Lanes; 4];
/// Bytes in a block.
const BLOCK_BYTES: usize = 64;
/// Inputs whose sums share a table.
const GROUP: usize = 4;
/// All XOR sums of the inputs of a group; bit `i` of the position says whether input `i` is in it.
type Sums = [Block; 1 << GROUP];

/// Coefficients, arranged for the loop.
#[derive(Clone, Debug)]
pub(super) struct Kernel {
    /// Groups of inputs.
    groups: usize,
    /// Per output, per bit from the highest, per group: which sum to add.
    selectors: Vec<u8>,
}

impl Kernel {
    /// Arranges `rows` of `inputs` coefficients, one row per output.
    pub(super) fn new(inputs: usize, rows: &[Vec<u8>]) -> Self {
        let groups = inputs.div_ceil(GROUP);
        let mut selectors = Vec::with_capacity(rows.len() * 8 * groups);
        for row in rows {
            for bit in (0..8).rev() {
                selectors.extend(row.chunks(GROUP).map(|group| {
                    let bits = group.iter().enumerate();
                    bits.fold(0, |selector, (i, coefficient)| {
                        selector | ((coefficient >> bit) & 1) << i
                    })
                }));
            }
        }
        Self { groups, selectors }
    }

    /// Writes all outputs; every cell has one length.
    pub(super) fn apply(&self, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        let len = inputs.first().map_or(0, |cell| cell.len());
        let mut sums: Vec<Sums> = vec![[[[0; 16]; 4]; 1 << GROUP]; self.groups];
        for start in (0..len).step_by(BLOCK_BYTES) {
            let end = (start + BLOCK_BYTES).min(len);
            for (sums, group) in sums.iter_mut().zip(inputs.chunks(GROUP)) {
                let mut blocks = [[[0; 16]; 4]; GROUP];
                for (block, cell) in blocks.iter_mut().zip(group) {
                    *block = load(&cell[start..end]);
                }
                sum_subsets(sums, &blocks);
            }
            let rows = self.selectors.chunks_exact(8 * self.groups);
            for (output, selectors) in outputs.iter_mut().zip(rows) {
                let block = evaluate(&sums, selectors);
                store(&block, &mut output[start..end]);
            }
        }
    }
}

fn evaluate(sums: &[Sums], selectors: &[u8]) -> Block {
    let mut block: Block = [[0; 16]; 4];
    for bit in selectors.chunks_exact(sums.len()) {
        for lanes in &mut block {
            double(lanes);
        }
        for (sums, selector) in sums.iter().zip(bit) {
            // The mask is already true; it spares the bounds check.
            add(&mut block, &sums[usize::from(selector & 0x0f)]);
        }
    }
    block
}

fn sum_subsets(sums: &mut Sums, blocks: &[Block; GROUP]) {
    for (i, block) in blocks.iter().enumerate() {
        // The sums without input `i` and later, each once more with it.
        let (without, with) = sums.split_at_mut(1 << i);
        for (with, without) in with.iter_mut().zip(without) {
            *with = *without;
            add(with, block);
        }
    }
}

#[inline(always)]
fn double(lanes: &mut Lanes) {
    for byte in lanes {
        *byte = field::double(*byte);
    }
}

#[inline(always)]
fn add(to: &mut Block, block: &Block) {
    for (to, lanes) in to.iter_mut().zip(block) {
        for (to, byte) in to.iter_mut().zip(lanes) {
            *to ^= byte;
        }
    }
}

#[inline(always)]
fn load(bytes: &[u8]) -> Block {
    let mut whole = [0; BLOCK_BYTES];
    match <&[u8; BLOCK_BYTES]>::try_from(bytes) {
        Ok(bytes) => whole = *bytes,
        // The short end of a cell; zeros behind it change nothing.
        Err(_) => whole.iter_mut().zip(bytes).for_each(|(to, byte)| *to = *byte),
    }
    let mut block = [[0; 16]; 4];
    for (lanes, bytes) in block.iter_mut().zip(whole.chunks_exact(16)) {
        lanes.copy_from_slice(bytes);
    }
    block
}

#[inline(always)]
fn store(block: &Block, bytes: &mut [u8]) {
    let whole = block.as_flattened();
    if bytes.len() == BLOCK_BYTES {
        bytes.copy_from_slice(whole);
    } else {
        bytes.iter_mut().zip(whole).for_each(|(to, byte)| *to = *byte);
    }
}
