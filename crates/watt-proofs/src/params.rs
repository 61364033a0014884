//! How hard the proofs are and how large a sector is (`docs/spec/proofs.md` §1).

/// Bytes in a node: one label, one SHA-256 digest.
pub const NODE_BYTES: usize = 32;

/// Parents of a node within its layer: the one before it, and five drawn from buckets of distances.
pub const DRG_DEGREE: usize = 6;

/// Parents of a node in the layer below.
pub const EXPANDER_DEGREE: usize = 8;

/// All parents of a node.
pub const PARENTS: usize = DRG_DEGREE + EXPANDER_DEGREE;

/// Nodes in a unit of sector size: 1 MiB sealed.
pub const UNIT_NODES: u32 = 1 << 15;

/// Bytes in a leaf of the replica's tree: eight field elements of 31 bytes, one absorption of the hash.
pub const LEAF_BYTES: usize = crate::element::LEAF_BYTES;

/// The largest sector of any parameter set, in units.
pub const UNITS_MAX: u32 = 64;

/// One in this many nodes, at the beginning of the graph, is labelled but holds no data: the first nodes have few
/// ancestors and would be cheap to compute again.
const DROPPED_ONE_IN: u32 = 32;

/// A parameter set. Each network has exactly one, fixed by its genesis, which a main network can't begin with
/// [`Self::DEVNET`] (`docs/spec/ledger.md` 10.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProofParams {
    /// Layers of the stacked graph, at least 2.
    pub layers: u8,
    /// Nodes whose labels are checked with all parents when a sector is accepted.
    pub porep_challenges: u16,
    /// Further nodes inside every slot that are checked like those, whatever the slot's size: without them a provider could
    /// commit keys for one small slot that make its replica trivial, and mostly pass.
    pub heavy_challenges_per_slot: u8,
    /// Further nodes inside every slot of which only the encoding is checked.
    pub light_challenges_per_slot: u8,
    /// Smallest sector, in units of 1 MiB sealed.
    pub units_min: u32,
    /// Largest sector, in units of 1 MiB sealed.
    pub units_max: u32,
}

impl ProofParams {
    /// The main network's: 64 MiB sectors, 8 layers, 176 challenges (`docs/spec/proofs.md` §9 for what that proves).
    pub const MAIN: Self = Self {
        layers: 8,
        porep_challenges: 176,
        heavy_challenges_per_slot: 1,
        light_challenges_per_slot: 1,
        units_min: UNITS_MAX,
        units_max: UNITS_MAX,
    };

    /// Openly insecure, for a whole network on one machine: seals in a second, deters nobody.
    pub const DEVNET: Self = Self {
        layers: 2,
        porep_challenges: 8,
        heavy_challenges_per_slot: 1,
        light_challenges_per_slot: 1,
        units_min: 1,
        units_max: 32,
    };
}

/// The size of a sector, known to be allowed by its network's parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SectorSize {
    units: u32,
}

impl SectorSize {
    /// A sector of `units` MiB sealed.
    ///
    /// # Errors
    /// [`InvalidUnits`] outside the range of `params`.
    pub fn new(params: &ProofParams, units: u32) -> Result<Self, InvalidUnits> {
        let (min, max) = (params.units_min.max(1), params.units_max.min(UNITS_MAX));
        if (min..=max).contains(&units) {
            Ok(Self { units })
        } else {
            Err(InvalidUnits { units, min, max })
        }
    }

    /// Size in units of 1 MiB sealed.
    #[must_use]
    pub const fn units(self) -> u32 {
        self.units
    }

    /// Nodes in a layer of the graph.
    #[must_use]
    pub const fn nodes(self) -> u32 {
        self.units.saturating_mul(UNIT_NODES)
    }

    /// Nodes at the beginning that hold no data.
    #[must_use]
    pub const fn dropped_nodes(self) -> u32 {
        self.nodes() / DROPPED_ONE_IN
    }

    /// Bytes of payload, and of the replica on disk: 62 groups of 16 KiB in every unit.
    #[must_use]
    pub fn payload_bytes(self) -> u64 {
        u64::from(self.nodes().saturating_sub(self.dropped_nodes())).saturating_mul(32)
    }

    /// Bytes that the sector counts as: units of 1 MiB.
    #[must_use]
    pub fn sealed_bytes(self) -> u64 {
        u64::from(self.nodes()).saturating_mul(32)
    }

    /// Leaves of the replica's tree.
    #[must_use]
    pub const fn leaves(self) -> u32 {
        self.nodes() / 8
    }
}

/// A sector size that the network does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sector of {units} units where {min} to {max} are allowed")]
pub struct InvalidUnits {
    /// Units asked for.
    pub units: u32,
    /// Fewest allowed.
    pub min: u32,
    /// Most allowed.
    pub max: u32,
}

/// An index as the machine counts; node and leaf numbers are far below any machine's limit.
pub(crate) fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A length or position in memory as a number that is written and hashed.
pub(crate) fn number(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A main sector is 64 MiB with a payload of 62 MiB (65,011,712 bytes). Covers: D1.
    #[test]
    fn sizes() {
        let main = SectorSize::new(&ProofParams::MAIN, 64).unwrap();
        assert_eq!(main.nodes(), 1 << 21);
        assert_eq!(main.payload_bytes(), 65_011_712);
        assert_eq!(main.sealed_bytes(), 64 << 20);
        assert_eq!(u64::from(main.leaves()) * 248, main.payload_bytes());
        assert!(SectorSize::new(&ProofParams::MAIN, 63).is_err());
        for units in 1..=32 {
            let size = SectorSize::new(&ProofParams::DEVNET, units).unwrap();
            assert_eq!(size.payload_bytes(), u64::from(units) * 62 * 16 * 1024);
            assert_eq!(u64::from(size.leaves()) * 248, size.payload_bytes());
        }
        assert!(SectorSize::new(&ProofParams::DEVNET, 0).is_err());
        assert!(SectorSize::new(&ProofParams::DEVNET, 33).is_err());
    }
}
