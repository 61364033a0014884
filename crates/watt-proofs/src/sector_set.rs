//! All sectors of a provider under one root, and which of them it has declared faulty (`docs/spec/proofs.md` §7).

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::element::Element;
use crate::params::{SectorSize, index, number};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use watt_primitives::hash::{Domain, hash};
use watt_primitives::{BoundedBytes, Hash, NetworkId, SectorNumber, merkle};

/// The most sectors of one provider: 256 GiB sealed on the main network.
pub const SECTORS_MAX: usize = 4096;

/// Bytes of a bitmap over [`SECTORS_MAX`] sectors.
const BITMAP_BYTES_MAX: usize = SECTORS_MAX / 8;

/// One accepted sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectorEntry {
    /// Its number within the provider.
    pub number: SectorNumber,
    /// Its size.
    pub size: SectorSize,
    /// Root over its replica.
    pub comm_r: Element,
}

/// A provider's accepted sectors in ascending order of their numbers; a sector's place in this order is its *position*.
///
/// Only the ledger builds one, from what it has accepted; that a `comm_r` occurs once in the whole network is its to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectorSet(Vec<SectorEntry>);

impl SectorSet {
    /// Checks that there is at least one sector, not too many, and none twice.
    ///
    /// # Errors
    /// See [`InvalidSectorSet`].
    pub fn check(sectors: Vec<SectorEntry>) -> Result<Self, InvalidSectorSet> {
        if sectors.is_empty() {
            return Err(InvalidSectorSet::Empty);
        }
        if sectors.len() > SECTORS_MAX {
            return Err(InvalidSectorSet::TooMany {
                n_sectors: sectors.len(),
            });
        }
        let (mut last, mut replicas) = (None, BTreeSet::new());
        for sector in &sectors {
            if last >= Some(sector.number) {
                return Err(InvalidSectorSet::NotAscending {
                    sector: sector.number,
                });
            }
            last = Some(sector.number);
            if !replicas.insert(sector.comm_r) {
                return Err(InvalidSectorSet::SameReplica {
                    sector: sector.number,
                });
            }
        }
        Ok(Self(sectors))
    }

    /// Number of sectors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none: never.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The sector at `position`.
    #[must_use]
    pub fn get(&self, position: u32) -> Option<&SectorEntry> {
        self.0.get(index(position))
    }

    /// The sectors with their positions.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &SectorEntry)> {
        (0u32..).zip(&self.0)
    }

    /// The root `C` over all sectors and their number.
    #[must_use]
    pub fn root(&self, network: &NetworkId) -> Hash {
        let leaves: Vec<Hash> = self
            .iter()
            .map(|(position, sector)| {
                let parts: [&[u8]; 4] = [
                    &position.to_be_bytes(),
                    &sector.number.0.to_be_bytes(),
                    &sector.size.units().to_be_bytes(),
                    &sector.comm_r.to_bytes(),
                ];
                hash(Domain::SectorSet, network, &parts)
            })
            .collect();
        let count = number(leaves.len()).to_be_bytes();
        hash(
            Domain::SectorSet,
            network,
            &[&count, merkle::root(&leaves).as_ref()],
        )
    }

    /// Positions of the sectors that are not declared faulty.
    pub(crate) fn live(&self, faults: &FaultBitmap) -> Vec<u32> {
        self.iter()
            .map(|(position, _)| position)
            .filter(|position| !faults.is_declared(*position))
            .collect()
    }
}

/// Why a list is not a provider's set of sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSectorSet {
    /// Nothing to prove.
    #[error("a provider without sectors has nothing to prove")]
    Empty,
    /// More than [`SECTORS_MAX`].
    #[error("{n_sectors} sectors where at most {SECTORS_MAX} are allowed")]
    TooMany {
        /// Sectors found.
        n_sectors: usize,
    },
    /// Out of order, or the same number twice.
    #[error("sector {sector} is not above the one before")]
    NotAscending {
        /// The later of the two.
        sector: SectorNumber,
    },
    /// One replica in two sectors: stored once, paid twice.
    #[error("sector {sector} has the same replica as another")]
    SameReplica {
        /// The later of the two.
        sector: SectorNumber,
    },
}

/// Which positions of a [`SectorSet`] a provider declares faulty in a window: bit `p % 8` of byte `p / 8`, without zero bytes
/// at the end, so that no fault is no byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultBitmap(BoundedBytes<BITMAP_BYTES_MAX>);

impl FaultBitmap {
    /// No fault.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The bitmap with these positions declared; positions beyond [`SECTORS_MAX`] don't exist and are left out.
    #[must_use]
    pub fn from_positions(positions: impl IntoIterator<Item = u32>) -> Self {
        let mut bytes = alloc::vec![0u8; BITMAP_BYTES_MAX];
        for position in positions {
            if let Some(byte) = bytes.get_mut(index(position >> 3)) {
                *byte |= 1 << (position & 7);
            }
        }
        let len = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last.saturating_add(1));
        bytes.truncate(len);
        Self(BoundedBytes::new(bytes).unwrap_or_default())
    }

    /// Whether the sector at `position` is declared faulty.
    #[must_use]
    pub fn is_declared(&self, position: u32) -> bool {
        self.0
            .get(index(position >> 3))
            .is_some_and(|byte| byte & (1 << (position & 7)) != 0)
    }

    /// How many sectors are declared faulty.
    #[must_use]
    pub fn n_declared(&self) -> u32 {
        self.0.iter().map(|byte| byte.count_ones()).sum()
    }

    /// The highest declared position.
    pub(crate) fn highest(&self) -> Option<u32> {
        let byte = self.0.last()?;
        let bytes_before = u32::try_from(self.0.len()).ok()?.checked_sub(1)?;
        bytes_before.checked_mul(8)?.checked_add(byte.checked_ilog2()?)
    }
}

impl Serialize for FaultBitmap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FaultBitmap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = BoundedBytes::deserialize(deserializer)?;
        if bytes.last() == Some(&0) {
            return Err(D::Error::custom("a fault bitmap has no zero byte at its end"));
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProofParams;
    use watt_primitives::codec;

    fn sector(number: u64, replica: u8) -> SectorEntry {
        SectorEntry {
            number: SectorNumber(number),
            size: SectorSize::new(&ProofParams::DEVNET, 1).unwrap(),
            comm_r: Element::from_chunk(&[replica; 31]),
        }
    }

    /// One sector cannot be claimed twice, neither by number nor by replica. Covers: D2.
    #[test]
    fn post_duplicate_sectors_in_c() {
        assert!(SectorSet::check(alloc::vec![sector(1, 1), sector(2, 2)]).is_ok());
        let refused = |sectors| SectorSet::check(sectors).unwrap_err();
        assert_eq!(refused(alloc::vec![]), InvalidSectorSet::Empty);
        let number = |number| SectorNumber(number);
        assert_eq!(
            refused(alloc::vec![sector(1, 1), sector(1, 2)]),
            InvalidSectorSet::NotAscending { sector: number(1) }
        );
        assert_eq!(
            refused(alloc::vec![sector(2, 1), sector(1, 2)]),
            InvalidSectorSet::NotAscending { sector: number(1) }
        );
        assert_eq!(
            refused(alloc::vec![sector(1, 1), sector(2, 1)]),
            InvalidSectorSet::SameReplica { sector: number(2) }
        );
        let many = |n: u64| {
            let entry = |i: u64| SectorEntry {
                comm_r: Element::of_hash(&Hash::of_content(&i.to_be_bytes())),
                ..sector(i, 0)
            };
            SectorSet::check((0..n).map(entry).collect())
        };
        assert!(many(4096).is_ok());
        assert_eq!(many(4097), Err(InvalidSectorSet::TooMany { n_sectors: 4097 }));
    }

    /// The root says how many sectors of what size and number there are. Covers: D2.
    #[test]
    fn root_binds_every_field() {
        let network = NetworkId::new([1; 32]);
        let root = |sectors: &[SectorEntry]| SectorSet::check(sectors.to_vec()).unwrap().root(&network);
        let mut larger = sector(1, 1);
        larger.size = SectorSize::new(&ProofParams::DEVNET, 2).unwrap();
        let roots = [
            root(&[sector(1, 1)]),
            root(&[sector(2, 1)]),
            root(&[sector(1, 2)]),
            root(&[larger]),
            root(&[sector(1, 1), sector(2, 2)]),
        ];
        assert_eq!(BTreeSet::from(roots).len(), roots.len());
        assert_ne!(
            roots[0],
            SectorSet::check(alloc::vec![sector(1, 1)])
                .unwrap()
                .root(&NetworkId::new([2; 32]))
        );
    }

    /// A bitmap has one form and only positions that exist. Covers: C5.
    #[test]
    fn fault_bitmap_has_one_form() {
        let bitmap = FaultBitmap::from_positions([0, 9, 4095]);
        assert_eq!(bitmap.n_declared(), 3);
        assert_eq!(bitmap.highest(), Some(4095));
        assert!(bitmap.is_declared(9) && !bitmap.is_declared(8) && !bitmap.is_declared(u32::MAX));
        assert_eq!(FaultBitmap::from_positions([4096]), FaultBitmap::none());
        assert_eq!(codec::encode(&FaultBitmap::none()), [0x40]);
        let bytes = codec::encode(&FaultBitmap::from_positions([9]));
        assert_eq!(bytes, [0x42, 0, 2]);
        assert!(codec::decode::<FaultBitmap>(&bytes, 10).is_ok());
        assert!(codec::decode::<FaultBitmap>(&[0x42, 2, 0], 10).is_err());
    }
}
