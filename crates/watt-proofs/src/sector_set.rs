//! All sectors of a provider, and the tree over those that it has not declared faulty (`docs/spec/proofs.md` §7).

#![deny(clippy::arithmetic_side_effects, clippy::indexing_slicing)]

use crate::element::Element;
use crate::octal::{Family, Tree};
use crate::params::SectorSize;
use crate::poseidon::Tag;
use crate::shape::Shape;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use watt_primitives::SectorNumber;

/// The most sectors of one provider: 256 GiB sealed on the main network.
pub const SECTORS_MAX: usize = 4096;

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

/// A provider's accepted sectors in ascending order of their numbers.
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

    /// The sectors.
    pub fn iter(&self) -> impl Iterator<Item = &SectorEntry> + Clone {
        self.0.iter()
    }

    /// The sectors but those declared faulty, in their order.
    #[must_use]
    pub fn without(&self, faults: &BTreeSet<SectorNumber>) -> Vec<&SectorEntry> {
        let sound = self.iter().filter(|sector| !faults.contains(&sector.number));
        sound.collect()
    }
}

/// The tree over a provider's sectors that aren't declared faulty, each at every position that it falls on by repetition.
/// The ledger builds it from the roots that it keeps, in the order in which it lists the sectors; no provider gives one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetTree {
    n_sectors: u32,
    tree: Tree,
}

impl SetTree {
    /// The tree over the roots of these replicas; `None` without any, or if the shape has fewer positions.
    #[must_use]
    pub fn build(shape: Shape, roots: Vec<Element>) -> Option<Self> {
        let n_sectors = u32::try_from(roots.len()).ok()?;
        if n_sectors == 0 || n_sectors > shape.positions() {
            return None;
        }
        Some(Self {
            n_sectors,
            tree: Tree::build(Tag::Node, shape.set_levels(), roots),
        })
    }

    /// The tree over these sectors; `None` without any, or if the shape has fewer positions.
    #[must_use]
    pub fn of(shape: Shape, sectors: &[&SectorEntry]) -> Option<Self> {
        Self::build(shape, sectors.iter().map(|sector| sector.comm_r).collect())
    }

    /// Hashes that building the tree over so many sectors takes: at most 9 in the small shape and 585 in the large one.
    #[must_use]
    pub fn n_hashes(shape: Shape, n_sectors: usize) -> usize {
        Tree::n_hashes(shape.set_levels(), n_sectors)
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Element {
        self.tree.root()
    }

    /// The sectors, each of which stands at one position at least.
    #[must_use]
    pub const fn n_sectors(&self) -> u32 {
        self.n_sectors
    }

    /// The sector at a position, counted in the order of the set.
    #[must_use]
    pub fn sector_at(&self, position: u32) -> u32 {
        position.checked_rem(self.n_sectors).unwrap_or(0)
    }

    /// The way from a position up to the root.
    pub(crate) fn path(&self, position: u32) -> Vec<Family> {
        self.tree.path(position)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ProofParams;
    use crate::element::F;
    use watt_primitives::Hash;

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

    /// A set of few sectors takes few hashes, and has a root of its own: one sector claimed at all positions is another set
    /// than two. Covers: D2.
    #[test]
    fn sets_differ_by_their_sectors() {
        let roots = |roots: core::ops::Range<u64>| roots.map(|root| Element(F::from(root))).collect();
        let set = |numbers| SetTree::build(Shape::LARGE, roots(numbers));
        let all = [1..2, 1..3, 1..4, 1..5, 2..4].map(|numbers| set(numbers).unwrap().root());
        assert_eq!(BTreeSet::from(all).len(), all.len());
        assert_eq!(set(0..0), None);
        assert_eq!(SetTree::build(Shape::TINY, roots(0..9)), None);
        let tree = set(1..4).unwrap();
        assert_eq!((tree.n_sectors(), tree.sector_at(4095)), (3, 0));
    }

    /// How much a set costs is known before it is built: 585 hashes for no number of sectors are exceeded, nor 9 for the small
    /// shape. Covers: D2.
    #[test]
    fn what_a_set_costs_is_bounded() {
        let costs = |shape: Shape, n: core::ops::RangeInclusive<usize>| {
            n.map(move |n| SetTree::n_hashes(shape, n)).max()
        };
        assert_eq!(costs(Shape::SMALL, 1..=64), Some(9));
        assert_eq!(costs(Shape::LARGE, 65..=4096), Some(585));
        assert_eq!(
            (
                SetTree::n_hashes(Shape::SMALL, 1),
                SetTree::n_hashes(Shape::SMALL, 64)
            ),
            (2, 9)
        );
        assert_eq!(SetTree::n_hashes(Shape::LARGE, 512), 64 + 8 + 1 + 1);
    }

    /// Up to 64 sectors are a small set, and no number has the shape of tests.
    #[test]
    fn shapes_follow_from_the_number_of_sectors() {
        assert_eq!(Shape::of_sectors(1), Shape::SMALL);
        assert_eq!(Shape::of_sectors(64), Shape::SMALL);
        assert_eq!(Shape::of_sectors(65), Shape::LARGE);
        assert_eq!(Shape::of_sectors(SECTORS_MAX), Shape::LARGE);
        assert_eq!(usize::try_from(Shape::LARGE.positions()).unwrap(), SECTORS_MAX);
    }
}
