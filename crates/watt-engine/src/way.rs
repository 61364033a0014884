//! The way from the backbone of genesis to the newest: a hand-over per term, made here when one is due or taken from peers, and
//! shown to whoever starts from a checkpoint (`docs/spec/node.md` §10, TC37).

use crate::backbones::{Backbones, Deciders};
use crate::consensus::{Context, Head};
use crate::effect::{Effect, Priority};
use crate::event::PeerId;
use crate::message::{DecidedBlock, Message};
use std::collections::BTreeMap;
use std::sync::Arc;
use watt_ledger::{StateRead, query, rows, tree};
use watt_light::finality::InvalidFinality;
use watt_light::hand_over::InvalidHandOver;
use watt_light::{Backbone, HandOver, Header, StateProof, Walk};
use watt_primitives::{Term, Timestamp};

/// Backbones on the way that are remembered, the newest.
const RECENT: usize = 4;

/// How long a peer has to answer before another is asked, in milliseconds.
const PATIENCE_MS: u64 = 5_000;

/// The half of a hand-over that only the state after its block shows.
#[derive(Debug)]
struct Half {
    term: Term,
    header: Header,
    backbone: Backbone,
    proof: StateProof,
}

/// How far this node can show the way, and what it is doing about the rest.
#[derive(Debug)]
pub(crate) struct Way {
    walk: Walk,
    recent: Vec<Arc<Deciders>>,
    half: Option<Half>,
    asked: BTreeMap<PeerId, (Term, Timestamp)>,
    turn: usize,
}

/// What an answer was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Nobody asked.
    Unasked,
    /// It led on, or would have if others had not been faster.
    Further,
    /// The peer has no more.
    Nothing,
    /// It was forged.
    Forged,
}

impl Way {
    pub(crate) fn new(walk: Walk) -> Self {
        let mut this = Self {
            walk,
            recent: Vec::new(),
            half: None,
            asked: BTreeMap::new(),
            turn: 0,
        };
        this.remember();
        this
    }

    fn remember(&mut self) {
        let deciders = Deciders::new(
            self.walk.term(),
            self.walk.backbone().clone(),
            self.walk.network(),
        );
        self.recent.push(Arc::new(deciders));
        if self.recent.len() > RECENT {
            self.recent.remove(0);
        }
    }

    /// The term up to which hand-overs are here.
    pub(crate) const fn term(&self) -> Term {
        self.walk.term()
    }

    /// Who decides the slots of `term`, if that is one of the newest on the way.
    pub(crate) fn deciders_of(&self, term: Term) -> Option<Arc<Deciders>> {
        self.recent.iter().find(|known| known.term == term).cloned()
    }

    /// The term of a slot after a header of this height.
    pub(crate) fn term_after(&self, header: &Header) -> Term {
        self.walk.terms().of_height(header.height.next())
    }

    pub(crate) fn disconnected(&mut self, peer: PeerId) {
        self.asked.remove(&peer);
    }

    fn step(&mut self, hand_over: &HandOver) -> Result<(), InvalidHandOver> {
        self.walk.step(hand_over)?;
        self.remember();
        Ok(())
    }

    /// The head moved: if its state is the first that says the next backbone for good, that is noted, for the block above will make
    /// it final.
    pub(crate) fn see_state(&mut self, head: &Head, state: &impl StateRead) {
        let term = self.walk.term_handing_over(head.header.height);
        if head.header.height != self.walk.hands_over_from(term) {
            return;
        }
        let proof = tree::prove(state, &rows::backbone(term.next())).ok();
        let backbone = query::backbone_of_term(state, term.next());
        self.half = proof.zip(backbone).map(|(proof, backbone)| Half {
            term,
            header: head.header.clone(),
            backbone,
            proof,
        });
    }

    /// Blocks are about to be stored: makes the hand-over of which one of them is the other half.
    pub(crate) fn see_block(&mut self, block: &DecidedBlock, backbones: &Backbones) -> Option<Effect> {
        let is_above = |half: &mut Half| block.proposal.proposal.slot == half.header.height.next().into();
        let half = self.half.take_if(is_above)?;
        let deciders = backbones.of_term(half.term)?;
        let hand_over = HandOver {
            finality: block.proves(half.header, deciders.voters())?,
            backbone: half.backbone,
            proof: half.proof,
        };
        // With a gap below it comes from peers, who have no gap.
        let term = self.walk.term();
        if term != half.term {
            return None;
        }
        match self.step(&hand_over) {
            Ok(()) => Some(Effect::KeepHandOvers {
                first: term,
                hand_overs: vec![hand_over],
            }),
            Err(error) => {
                tracing::warn!(term = term.0, %error, "the hand-over of this term can't be shown from here");
                None
            }
        }
    }

    /// Asks a peer for what comes after the way that is here.
    pub(crate) fn ask(&mut self, peer: PeerId, context: &mut Context<'_>) {
        let from = self.walk.term();
        self.asked.insert(peer, (from, context.now));
        context.send(peer, &Message::GetHandOvers { from }, Priority::Urgent);
    }

    /// If hand-overs up to `running` are missing, asks one peer after the other.
    pub(crate) fn fill(&mut self, running: Term, context: &mut Context<'_>) {
        let now = context.now;
        self.asked
            .retain(|_, (_, since)| now.0.saturating_sub(since.0) < PATIENCE_MS);
        if self.walk.term() >= running || !self.asked.is_empty() {
            return;
        }
        let peers: Vec<PeerId> = context.peers.all().collect();
        self.turn = self.turn.wrapping_add(1);
        let in_turn = self.turn.checked_rem(peers.len()).and_then(|at| peers.get(at));
        if let Some(peer) = in_turn {
            self.ask(*peer, context);
        }
    }

    /// A peer shows hand-overs from term `first` on.
    pub(crate) fn received(
        &mut self,
        from: PeerId,
        first: Term,
        hand_overs: Vec<HandOver>,
        context: &mut Context<'_>,
    ) -> Shown {
        let Some((asked, _)) = self.asked.remove(&from) else {
            return Shown::Unasked;
        };
        if first != asked {
            return Shown::Unasked;
        }
        let (begin, is_empty) = (self.walk.term(), hand_overs.is_empty());
        let n_known = usize::try_from(begin.0.saturating_sub(first.0)).unwrap_or(usize::MAX);
        let new: Vec<HandOver> = hand_overs.into_iter().skip(n_known).collect();
        let (n_new, mut n_good, mut is_unknown) = (new.len(), 0usize, false);
        for hand_over in &new {
            match self.step(hand_over) {
                Ok(()) => n_good = n_good.saturating_add(1),
                Err(error) => {
                    // A newer program may see that it holds.
                    is_unknown = matches!(
                        error,
                        InvalidHandOver::Finality(InvalidFinality::UnknownVersion { .. })
                    );
                    break;
                }
            }
        }
        let is_forged = n_good < n_new && !is_unknown;
        let good: Vec<HandOver> = new.into_iter().take(n_good).collect();
        if !good.is_empty() {
            context.effects.push(Effect::KeepHandOvers {
                first: begin,
                hand_overs: good,
            });
        }
        if is_forged {
            Shown::Forged
        } else if is_empty || is_unknown {
            Shown::Nothing
        } else {
            Shown::Further
        }
    }
}
