//! What a block costs in networks of many sizes.

use crate::net::WeatherName;
use crate::trace::Sink;
use crate::world::{Setup, World};

/// One size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// All nodes.
    pub nodes: usize,
    /// Those of them that vote.
    pub validators: u8,
}

/// The sizes of the report: networks that grow while the backbone stays, and a backbone that grows.
pub const SIZES: [Size; 5] = [
    Size {
        nodes: 10,
        validators: 4,
    },
    Size {
        nodes: 100,
        validators: 13,
    },
    Size {
        nodes: 100,
        validators: 31,
    },
    Size {
        nodes: 1_000,
        validators: 13,
    },
    Size {
        nodes: 5_000,
        validators: 13,
    },
];

/// What was counted while the blocks were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Blocks made after the warm-up.
    pub blocks: u64,
    /// Messages sent.
    pub messages: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Events handled by engines.
    pub events: u64,
    /// Signatures that engines asked for.
    pub signatures: u64,
    /// Milliseconds of virtual time.
    pub ms: u64,
}

fn count(world: &World) -> Counted {
    Counted {
        blocks: world.height_of_all().0,
        messages: world.net.n_sent,
        bytes: world.net.bytes_sent,
        events: world.n_events,
        signatures: world.compute.n_asked,
        ms: world.now.0,
    }
}

/// Prepares a network of this size that has warmed up.
///
/// # Errors
/// It does not begin, or breaks a promise.
pub fn prepare(size: Size, seed: u64) -> Result<World, String> {
    let setup = Setup {
        seed,
        validators: size.validators,
        followers: size.nodes - usize::from(size.validators),
        links: 8,
        slot_ms: 5_000,
        weather: WeatherName::Fair.weather(),
        ..Setup::default()
    };
    let mut world = setup.build(Sink::None).map_err(|error| error.to_string())?;
    advance(&mut world, 2)?;
    Ok(world)
}

/// Lets everybody get `blocks` further; returns what it took.
///
/// # Errors
/// It does not happen, or a promise is broken.
pub fn measure(world: &mut World, blocks: u64) -> Result<Counted, String> {
    let before = count(world);
    advance(world, blocks)?;
    let after = count(world);
    Ok(Counted {
        blocks: after.blocks - before.blocks,
        messages: after.messages - before.messages,
        bytes: after.bytes - before.bytes,
        events: after.events - before.events,
        signatures: after.signatures - before.signatures,
        ms: after.ms - before.ms,
    })
}

fn advance(world: &mut World, blocks: u64) -> Result<(), String> {
    let target = world.height_of_all().plus(blocks);
    let end = world.now.plus(600_000);
    // Heights are looked at only when enough blocks were stored for everybody to have them.
    let n_nodes = u64::try_from(world.nodes.len()).unwrap_or(u64::MAX);
    let enough = world
        .n_commits
        .saturating_add(blocks.saturating_mul(n_nodes.saturating_sub(1)));
    let is_there = |world: &World| world.n_commits >= enough && world.height_of_all() >= target;
    if world.run_until(end, is_there) {
        return Ok(());
    }
    Err(match &world.violation {
        Some(violation) => violation.to_string(),
        None => format!("after ten minutes not everybody has block {target}"),
    })
}
