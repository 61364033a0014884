//! The mountain range over all headers: its root equals the plain Merkle root over their hashes, and it grows by one header
//! without looking at the others (`docs/spec/ledger.md` §8).

use crate::rows::ChainRow;
use watt_primitives::{BoundedVec, Hash, merkle};

/// Adds a header's hash.
pub(crate) fn append(chain: &mut ChainRow, header: Hash) {
    let mut peaks = std::mem::take(&mut chain.history).into_inner();
    let (mut peak, mut below) = (header, chain.history_len);
    while below & 1 == 1 {
        let Some(left) = peaks.pop() else { break };
        peak = merkle::root(&[left, peak]);
        below >>= 1;
    }
    peaks.push(peak);
    chain.history = BoundedVec::new(peaks).unwrap_or_default();
    chain.history_len = chain.history_len.saturating_add(1);
}

/// The root over all headers added; zero if there is none.
pub(crate) fn root(chain: &ChainRow) -> Hash {
    let mut peaks = chain.history.iter().rev();
    let Some(last) = peaks.next() else {
        return Hash::ZERO;
    };
    peaks.fold(*last, |right, left| merkle::root(&[*left, right]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use watt_primitives::{BlockHeight, Timestamp};

    /// Old headers prove under the root with plain Merkle paths. Covers: A6.
    #[test]
    fn root_is_the_plain_merkle_root() {
        let mut chain = ChainRow {
            height: BlockHeight(0),
            close_time: Timestamp(0),
            halted_ms: 0,
            windows_counted: 0,
            history: BoundedVec::empty(),
            history_len: 0,
            rank_root: Hash::ZERO,
        };
        let mut all = Vec::new();
        for n in 0..70u8 {
            assert_eq!(root(&chain), merkle::root(&all), "{n} headers");
            let header = Hash::of_content(&[n]);
            append(&mut chain, header);
            all.push(header);
        }
    }
}
