//! Who looks at a sector's openings, and what they say (`docs/spec/proofs.md` 6.8 to 6.13, TS4).

use crate::apply::sectors::proof_params;
use crate::beacon::Beacon;
use crate::refused::Refused;
use crate::rows::{self, AuditRow, PieceTableRow, RulesRow, SectorRow, SectorStage, SuccessionRow};
use crate::state::StateRead;
use watt_light::backbone::Backbone;
use watt_light::{PorepVerdict, Verdict, Verdicts};
use watt_primitives::key::{SignatureCheck, all_hold};
use watt_primitives::terms::Piece;
use watt_primitives::{AccountId, BlockHeight, Hash, NetworkId, NodeId, SectorNumber, Window};
use watt_proofs::challenge::AUDIT_CHALLENGES;
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
    /// What this sector is asked; `None` if nothing.
    #[must_use]
    pub fn of(
        state: &(impl StateRead + ?Sized),
        provider: &AccountId,
        sector: SectorNumber,
        row: &SectorRow,
    ) -> Option<Self> {
        match row.stage {
            SectorStage::PreCommitted {
                challenge_window,
                deadline,
            } => Some(Self {
                asking: Asking::ToCommit,
                window: challenge_window,
                deadline,
            }),
            SectorStage::Active { .. } => {
                let audit: AuditRow = rows::read(state, &rows::audit(provider, sector))?;
                Some(Self {
                    asking: Asking::Again,
                    window: audit.window,
                    deadline: audit.answer_by,
                })
            }
            SectorStage::Ended { .. } => None,
        }
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

/// Those to whom one sector is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee {
    /// Ascending by account: a verdict names its member by the place here.
    pub members: Vec<Member>,
}

impl Committee {
    /// Who looks at `sector`, which is asked with `beacon`; `None` if the backbone of that term is not known (any more).
    #[must_use]
    pub fn draw(
        state: &impl StateRead,
        rules: &RulesRow,
        beacon: &Beacon,
        provider: &AccountId,
        sector: SectorNumber,
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
                    Asking::ToCommit => beacon.committee_order(provider, sector, &account),
                    Asking::Again => beacon.audit_order(provider, sector, &account),
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
    /// What it is asked.
    pub question: Question,
}

impl ChallengedSector {
    /// A sector with its row and the beacon that asks.
    pub(crate) fn of(
        state: &impl StateRead,
        rules: &RulesRow,
        (provider, sector): (&AccountId, SectorNumber),
        row: &SectorRow,
        question: Question,
        beacon: &Beacon,
    ) -> Option<Self> {
        let (network, params) = (rules.network, proof_params(rules.parameters.insecure_proofs));
        let size = SectorSize::new(&params, u32::from(row.units)).ok()?;
        let pieces: PieceTableRow = rows::read(state, &rows::piece_table(provider, sector))?;
        let pieces = PieceTable::check(size, pieces.0.into_inner()).ok()?;
        let (comm_c, comm_r) = (row.comm_c, row.comm_r);
        let seed_of = match question.asking {
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
            question,
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
            random_challenges: self.random_challenges(),
        }
    }

    /// Its random heavy challenges.
    #[must_use]
    pub const fn random_challenges(&self) -> u16 {
        match self.question.asking {
            Asking::ToCommit => self.params.porep_challenges,
            Asking::Again => AUDIT_CHALLENGES,
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

    /// Checks its openings: a tenth of a second for a sector of a main network.
    ///
    /// # Errors
    /// See [`InvalidProof`].
    pub fn verify(&self, openings: &[u8]) -> Result<(), InvalidProof> {
        verify::porep(&self.params, &self.statement(), openings)
    }

    /// What a member signs once it has seen the openings with this hash and they hold.
    #[must_use]
    pub fn verdict(&self, openings: Hash) -> PorepVerdict {
        PorepVerdict {
            provider: self.provider,
            sector: self.sector,
            comm_c: self.comm_c,
            comm_r: Hash(self.comm_r.to_bytes()),
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
        let sector = self.sector;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let verdicts = Verdicts::decode(witness).map_err(|_| Refused::Verdicts { sector })?;
        let places = || verdicts.given.iter().map(|verdict| verdict.member);
        if !places().zip(places().skip(1)).all(|(left, right)| left < right) {
            return Err(Refused::VerdictOrder { sector });
        }
        let mut checks = Vec::with_capacity(verdicts.given.len());
        for verdict in &verdicts.given {
            let check = self.signature_check(committee, verdicts.openings, verdict);
            checks.push(check.ok_or(Refused::VerdictMember {
                sector,
                member: verdict.member,
                members: count(committee.members.len()),
            })?);
        }
        let (given, needed) = (count(checks.len()), count(committee.needed()));
        if given < needed || given == 0 {
            return Err(Refused::TooFewVerdicts {
                sector,
                given,
                needed,
            });
        }
        if all_hold(&checks) {
            Ok(())
        } else {
            Err(Refused::VerdictSignature { sector })
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
