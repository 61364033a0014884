//! Transactions and heartbeats on their way to peers: gathered for a moment, so that many of them cost each peer one message of its quota.

use crate::consensus::Context;
use crate::effect::{Effect, Priority, Timer};
use crate::event::PeerId;
use crate::heartbeats;
use crate::message::{
    HEARTBEATS_PER_MESSAGE_MAX, Message, TRANSACTIONS_BYTES_MAX, TRANSACTIONS_PER_MESSAGE_MAX,
};
use watt_light::{SignedHeartbeat, SignedTransaction};
use watt_primitives::{BoundedVec, Timestamp, Window, codec};

/// Least time between two batches, in milliseconds; the first transaction after a pause goes out at once.
const BATCH_MS: u64 = 50;

/// A transaction that waits to be sent.
#[derive(Debug)]
struct Waiting {
    /// Who sent it here.
    except: Option<PeerId>,
    signed: SignedTransaction,
    bytes: usize,
}

/// A heartbeat that waits to be sent.
#[derive(Debug)]
struct WaitingHeartbeat {
    /// Who sent it here.
    except: Option<PeerId>,
    window: Window,
    signed: SignedHeartbeat,
}

/// What waits.
#[derive(Debug, Default)]
pub(crate) struct Gossip {
    waiting: Vec<Waiting>,
    heartbeats: Vec<WaitingHeartbeat>,
    next: Timestamp,
    is_timer_set: bool,
}

impl Gossip {
    /// Has a transaction of `bytes` sent towards those that take part in agreement, but not to `except`.
    pub(crate) fn add(
        &mut self,
        except: Option<PeerId>,
        signed: SignedTransaction,
        bytes: usize,
        context: &mut Context<'_>,
    ) {
        self.waiting.push(Waiting {
            except,
            signed,
            bytes,
        });
        let is_full = self.waiting.len() >= TRANSACTIONS_PER_MESSAGE_MAX;
        self.flush_or_wait(is_full, context);
    }

    /// The same with a heartbeat.
    pub(crate) fn add_heartbeat(
        &mut self,
        except: Option<PeerId>,
        window: Window,
        signed: SignedHeartbeat,
        context: &mut Context<'_>,
    ) {
        self.heartbeats.push(WaitingHeartbeat {
            except,
            window,
            signed,
        });
        let is_full = self.heartbeats.len() >= HEARTBEATS_PER_MESSAGE_MAX;
        self.flush_or_wait(is_full, context);
    }

    fn flush_or_wait(&mut self, is_full: bool, context: &mut Context<'_>) {
        if context.now >= self.next || is_full {
            self.flush(context);
        } else if !self.is_timer_set {
            self.is_timer_set = true;
            context.effects.push(Effect::SetTimer {
                timer: Timer::Gossip,
                at: self.next,
            });
        }
    }

    /// Sends what waits.
    pub(crate) fn flush(&mut self, context: &mut Context<'_>) {
        self.is_timer_set = false;
        let waiting = std::mem::take(&mut self.waiting);
        let heartbeats = std::mem::take(&mut self.heartbeats);
        if waiting.is_empty() && heartbeats.is_empty() {
            return;
        }
        self.next = context.now.plus(BATCH_MS);
        for peer in context.peers.towards_agreement(None) {
            let news = waiting.iter().filter(|one| one.except != Some(peer));
            for message in batches(news.map(|one| (&one.signed, one.bytes))) {
                context.send(peer, &message, Priority::Bulk);
            }
            // All are of one window but around its end.
            for of_window in heartbeats.chunk_by(|one, next| one.window == next.window) {
                let news = of_window.iter().filter(|one| one.except != Some(peer));
                let news = news.map(|one| one.signed.clone()).collect();
                let window = of_window.first().map(|one| one.window);
                if let Some(message) = window.and_then(|window| heartbeats::message(window, news)) {
                    context.send(peer, &message, Priority::Bulk);
                }
            }
        }
    }
}

/// Messages with these transactions in order, given with their encoded bytes.
fn batches<'a>(transactions: impl Iterator<Item = (&'a SignedTransaction, usize)>) -> Vec<Message> {
    let (mut messages, mut batch, mut sum) = (Vec::new(), Vec::new(), 0usize);
    for (signed, bytes) in transactions {
        sum = sum.saturating_add(bytes);
        let is_full = batch.len() >= TRANSACTIONS_PER_MESSAGE_MAX || sum > TRANSACTIONS_BYTES_MAX;
        if is_full && !batch.is_empty() {
            messages.extend(message(std::mem::take(&mut batch)));
            sum = bytes;
        }
        batch.push(signed.clone());
    }
    messages.extend(message(batch));
    messages
}

fn message(batch: Vec<SignedTransaction>) -> Option<Message> {
    let transactions = BoundedVec::new(batch).ok().filter(|batch| !batch.is_empty())?;
    Some(Message::Transactions { transactions })
}

/// The same for transactions whose size is not known yet.
pub(crate) fn in_batches<'a>(transactions: impl Iterator<Item = &'a SignedTransaction>) -> Vec<Message> {
    batches(transactions.map(|signed| (signed, codec::encode(signed).len())))
}
