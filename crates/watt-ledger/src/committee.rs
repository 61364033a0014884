//! Who looks at the openings of a batch of sectors, and what they say (`docs/spec/proofs.md` 6.8 to 6.14, TS4).

use crate::apply::sectors::proof_params;
use crate::beacon::Beacon;
use crate::refused::Refused;
use crate::rows::{self, AuditRow, BatchRow, PieceTableRow, RulesRow, SectorRow, SuccessionRow};
use crate::state::StateRead;
use watt_light::backbone::Backbone;
use watt_light::{BatchOpenings, PorepVerdict, SeenSector, Verdict, Verdicts};
use watt_primitives::codec::InvalidEncoding;
use watt_primitives::key::{SignatureCheck, all_hold};
use watt_primitives::terms::Piece;
use watt_primitives::{AccountId, BlockHeight, BoundedVec, Hash, NetworkId, NodeId, SectorNumber, Window};
use watt_proofs::challenge::HeavyChallenges;
use watt_proofs::verify::{self, InvalidProof, PorepStatement};
use watt_proofs::{Element, PieceTable, ProofParams, SectorSize, challenge};

/// Why a sector is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// It is pre-committed, and proven once it has answered.
    ToCommit,
    /// It is live, and lost unless it answers (`docs/spec/ledger.md` 9.15).
    Again,
}

/// What is asked of a sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Why.
    pub asking: Asking,
    /// The window that asks.
    pub window: Window,
    /// Last height for the answer; of a live sector later if windows are void until then.
    pub deadline: BlockHeight,
}

impl Question {
    /// What the sectors of a batch, by its number, or a live one by its own, are asked, and which they are; `None` if nothing.
    #[must_use]
    pub fn of(
        state: &(impl StateRead + ?Sized),
        provider: &AccountId,
        number: SectorNumber,
    ) -> Option<(Self, Vec<SectorNumber>)> {
        let batch: Option<BatchRow> = rows::read(state, &rows::batch(provider, number));
        if let Some(row) = batch {
            let question = Self {
                asking: Asking::ToCommit,
                window: row.challenge_window,
                deadline: row.deadline,
            };
            return Some((question, row.sectors.into_inner()));
        }
        let audit: AuditRow = rows::read(state, &rows::audit(provider, number))?;
        let question = Self {
            asking: Asking::Again,
            window: audit.window,
            deadline: audit.answer_by,
        };
        Some((question, vec![number]))
    }
}

/// A member of a committee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whose seat.
    pub account: AccountId,
    /// The key that votes for the seat in the term of the window that asks, as far as the ledger knows: a successor's if there is one.
    pub key: NodeId,
}

/// Those to whom one batch is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee {
    /// Ascending by account: a verdict names its member by the place here.
    pub members: Vec<Member>,
}

impl Committee {
    /// Who looks at `batch`, which is asked with `beacon`; `None` if the backbone of that term is not known (any more).
    #[must_use]
    pub fn draw(
        state: &impl StateRead,
        rules: &RulesRow,
        beacon: &Beacon,
        provider: &AccountId,
        batch: SectorNumber,
        question: &Question,
    ) -> Option<Self> {
        let first = BlockHeight(question.window.0.saturating_mul(rules.parameters.window_slots));
        let term = rules.terms().of_height(first);
        let backbone: Backbone = rows::read(state, &rows::backbone(term))?;
        let size = usize::from(rules.parameters.porep_committee);
        let has_others = backbone.entries().len() > size;
        let mut drawn: Vec<(Hash, Member)> = backbone
            .entries()
            .iter()
            .filter(|entry| !(has_others && entry.account == *provider))
            .map(|entry| {
                let account = entry.account;
                let order = match question.asking {
                    Asking::ToCommit => beacon.committee_order(provider, batch, &account),
                    Asking::Again => beacon.audit_order(provider, batch, &account),
                };
                (
                    order,
                    Member {
                        account,
                        key: entry.key,
                    },
                )
            })
            .collect();
        drawn.sort_unstable_by_key(|(order, member)| (*order, member.account));
        drawn.truncate(size);
        let mut members: Vec<Member> = drawn.into_iter().map(|(_, member)| member).collect();
        members.sort_unstable_by_key(|member| member.account);
        for member in &mut members {
            let successor: Option<SuccessionRow> =
                rows::read(state, &rows::succession(term, &member.account));
            member.key = successor.map_or(member.key, |row| row.key);
        }
        Some(Self { members })
    }

    /// Verdicts that are needed: all but a third of the members, 11 of 15.
    #[must_use]
    pub fn needed(&self) -> usize {
        let n = self.members.len();
        n.saturating_sub(n.saturating_sub(1) / 3)
    }

    /// The place of whoever votes with this key.
    #[must_use]
    pub fn place_of(&self, key: &NodeId) -> Option<u8> {
        let at = self.members.iter().position(|member| member.key == *key)?;
        u8::try_from(at).ok()
    }

    /// The member at a place.
    #[must_use]
    pub fn member(&self, place: u8) -> Option<&Member> {
        self.members.get(usize::from(place))
    }
}

/// A sector whose challenge is known: all that looking at its openings takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengedSector {
    network: NetworkId,
    params: ProofParams,
    pieces: PieceTable,
    /// Whose.
    pub provider: AccountId,
    /// Which of its sectors.
    pub sector: SectorNumber,
    /// Root over the label columns.
    pub comm_c: Hash,
    /// Root over the replica's leaves.
    pub comm_r: Element,
    seal_seed: Hash,
    /// Seed of its challenges.
    pub challenge_seed: Hash,
    /// At how many nodes all its labels are asked.
    pub heavy: HeavyChallenges,
}

impl ChallengedSector {
    /// A sector with the beacon that asks it.
    pub(crate) fn of(
        state: &impl StateRead,
        rules: &RulesRow,
        (provider, sector): (&AccountId, SectorNumber),
        asking: Asking,
        beacon: &Beacon,
        heavy: HeavyChallenges,
    ) -> Option<Self> {
        let row: SectorRow = rows::read(state, &rows::sector(provider, sector))?;
        let (network, params) = (rules.network, proof_params(rules.parameters.insecure_proofs));
        let size = SectorSize::new(&params, u32::from(row.units)).ok()?;
        let pieces: PieceTableRow = rows::read(state, &rows::piece_table(provider, sector))?;
        let pieces = PieceTable::check(size, pieces.0.into_inner()).ok()?;
        let (comm_c, comm_r) = (row.comm_c, row.comm_r);
        let seed_of = match asking {
            Asking::ToCommit => challenge::porep_seed,
            Asking::Again => challenge::audit_seed,
        };
        let challenge_seed = seed_of(&network, beacon.value(), provider, sector, &comm_c, &comm_r);
        Some(Self {
            network,
            params,
            pieces,
            provider: *provider,
            sector,
            comm_c,
            comm_r,
            seal_seed: row.seal_seed,
            challenge_seed,
            heavy,
        })
    }

    fn statement(&self) -> PorepStatement<'_> {
        PorepStatement {
            network: &self.network,
            provider: &self.provider,
            sector: self.sector,
            pieces: &self.pieces,
            comm_c: self.comm_c,
            comm_r: self.comm_r,
            seal_seed: self.seal_seed,
            challenge_seed: self.challenge_seed,
            heavy: self.heavy,
        }
    }

    /// Whether something of clients lies in it.
    #[must_use]
    pub fn has_slots(&self) -> bool {
        let mut pieces = self.pieces.pieces().iter();
        pieces.any(|piece| matches!(piece, Piece::Slot { .. }))
    }

    /// The most bytes that its openings have.
    #[must_use]
    pub fn openings_bytes_max(&self) -> usize {
        verify::porep_bytes_max(&self.params, &self.statement())
    }

    /// Checks its openings: up to a tenth of a second for a sector of a main network.
    ///
    /// # Errors
    /// See [`InvalidProof`].
    pub fn verify(&self, openings: &[u8]) -> Result<(), InvalidProof> {
        verify::porep(&self.params, &self.statement(), openings)
    }
}

/// Bytes of openings that are no sector's: the heads of a list and of its byte strings.
const FRAME_BYTES_MAX: usize = 64;

/// Why the openings of a batch do not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBatch {
    /// Too long, or not the canonical encoding.
    #[error("openings: {0}")]
    Encoding(InvalidEncoding),
    /// Not one for each sector.
    #[error("openings of {found} sectors where {expected} are asked")]
    Count {
        /// Asked.
        expected: usize,
        /// Given.
        found: usize,
    },
    /// Those of one sector do not hold.
    #[error("sector {sector}: {why}")]
    Sector {
        /// Which.
        sector: SectorNumber,
        /// Why.
        why: InvalidProof,
    },
}

/// Sectors that are asked together, and whose challenges are known: those of a batch, or a live one alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChallengedBatch {
    network: NetworkId,
    /// Whose.
    pub provider: AccountId,
    /// Number of the first.
    pub batch: SectorNumber,
    /// In their order.
    pub sectors: Vec<ChallengedSector>,
    /// What they are asked.
    pub question: Question,
}

impl ChallengedBatch {
    /// Sectors that are asked together, with the beacon that asks.
    pub(crate) fn of(
        state: &impl StateRead,
        rules: &RulesRow,
        (provider, batch): (&AccountId, SectorNumber),
        question: Question,
        sectors: &[SectorNumber],
        beacon: &Beacon,
    ) -> Option<Self> {
        let params = proof_params(rules.parameters.insecure_proofs);
        let heavy = match question.asking {
            Asking::ToCommit => HeavyChallenges::of_batch(&params, sectors.len()),
            Asking::Again => HeavyChallenges::AUDIT,
        };
        let asking = question.asking;
        let challenged = |sector: &SectorNumber| {
            ChallengedSector::of(state, rules, (provider, *sector), asking, beacon, heavy)
        };
        let sectors = sectors.iter().map(challenged).collect::<Option<Vec<_>>>()?;
        Some(Self {
            network: rules.network,
            provider: *provider,
            batch,
            sectors,
            question,
        })
    }

    /// Whether something of clients lies in one of them.
    #[must_use]
    pub fn has_slots(&self) -> bool {
        self.sectors.iter().any(ChallengedSector::has_slots)
    }

    /// The most bytes that its openings have.
    #[must_use]
    pub fn openings_bytes_max(&self) -> usize {
        let sectors = self.sectors.iter().map(ChallengedSector::openings_bytes_max);
        sectors.fold(FRAME_BYTES_MAX, usize::saturating_add)
    }

    /// Checks the openings of all its sectors, one after the other: up to a fifth of a second on a main network.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn verify(&self, openings: &[u8]) -> Result<(), InvalidBatch> {
        let openings =
            BatchOpenings::decode(openings, self.openings_bytes_max()).map_err(InvalidBatch::Encoding)?;
        let (expected, found) = (self.sectors.len(), openings.0.len());
        if expected != found {
            return Err(InvalidBatch::Count { expected, found });
        }
        for (sector, openings) in self.sectors.iter().zip(&openings.0) {
            sector.verify(openings).map_err(|why| InvalidBatch::Sector {
                sector: sector.sector,
                why,
            })?;
        }
        Ok(())
    }

    /// What a member signs once it has seen the openings with this hash and they hold.
    #[must_use]
    pub fn verdict(&self, openings: Hash) -> PorepVerdict {
        let seen = self.sectors.iter().map(|sector| SeenSector {
            sector: sector.sector,
            comm_c: sector.comm_c,
            comm_r: Hash(sector.comm_r.to_bytes()),
        });
        PorepVerdict {
            provider: self.provider,
            batch: self.batch,
            // A row of the ledger has no more of them.
            sectors: BoundedVec::new(seen.collect()).unwrap_or_default(),
            window: self.question.window,
            openings,
        }
    }

    /// The claim that a member gave this verdict; `None` if there is no such member.
    #[must_use]
    pub fn signature_check(
        &self,
        committee: &Committee,
        openings: Hash,
        verdict: &Verdict,
    ) -> Option<SignatureCheck> {
        let member = committee.member(verdict.member)?;
        let signed = self.verdict(openings);
        Some(signed.signature_check(&member.key, verdict.signature, &self.network))
    }

    /// Whether these verdicts are enough.
    ///
    /// # Errors
    /// [`Refused::Verdicts`] and those after it.
    pub fn check_verdicts(&self, committee: &Committee, witness: &[u8]) -> Result<(), Refused> {
        let batch = self.batch;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let verdicts = Verdicts::decode(witness).map_err(|_| Refused::Verdicts { batch })?;
        let places = || verdicts.given.iter().map(|verdict| verdict.member);
        if !places().zip(places().skip(1)).all(|(left, right)| left < right) {
            return Err(Refused::VerdictOrder { batch });
        }
        let mut checks = Vec::with_capacity(verdicts.given.len());
        for verdict in &verdicts.given {
            let check = self.signature_check(committee, verdicts.openings, verdict);
            checks.push(check.ok_or(Refused::VerdictMember {
                batch,
                member: verdict.member,
                members: count(committee.members.len()),
            })?);
        }
        let (given, needed) = (count(checks.len()), count(committee.needed()));
        if given < needed || given == 0 {
            return Err(Refused::TooFewVerdicts { batch, given, needed });
        }
        if all_hold(&checks) {
            Ok(())
        } else {
            Err(Refused::VerdictSignature { batch })
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
