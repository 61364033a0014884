//! What is done to a world when a step's time has come.

use super::Director;
use crate::node::Down;
use crate::scenario::{Act, Group, Step};
use crate::violation::{Promise, Violation};
use crate::world::Ending;

impl Director {
    /// Does the step to the chosen nodes.
    pub(super) fn act_on(&mut self, step: Step, chosen: Vec<usize>) {
        let now = self.world.now;
        self.world
            .trace
            .note(now, format_args!("== {:?} {chosen:?}", step.act));
        let amount = step.amount.unwrap_or(0);
        match step.act {
            Act::Partition => {
                let sides = (0..self.world.nodes.len()).map(|node| u8::from(chosen.contains(&node)));
                self.world.net.part(sides.collect());
                self.world.walls_changed();
                if let Some(seconds) = step.seconds {
                    let heal = Step {
                        act: Act::Heal,
                        ..step
                    };
                    self.later(seconds, heal);
                }
            }
            Act::Deafen => {
                for to in chosen {
                    for from in 0..self.world.nodes.len() {
                        self.world.net.deafen(from, to);
                    }
                }
                self.world.walls_changed();
            }
            Act::Heal => self.world.net.heal(),
            Act::Weather => {
                if let Some(weather) = step.weather {
                    self.world.net.weather = weather.weather();
                }
            }
            Act::Stop => self.end_all(&chosen, Ending::Stop, step.seconds),
            Act::PowerCut => self.end_all(&chosen, Ending::PowerCut, step.seconds),
            Act::RollingRestart => {
                let seconds = step.seconds.unwrap_or(1);
                for (turn, node) in (0u64..).zip(chosen) {
                    let one = Step {
                        act: Act::Stop,
                        count: None,
                        permille: None,
                        ..step
                    };
                    self.later_for(turn * (seconds + 2), one, node);
                }
            }
            Act::CrashAtPersist => {
                // One after the other, each time one append further on; with `amount = 1` all of them each time.
                let n = chosen.len().max(1);
                for (place, node) in chosen.into_iter().enumerate() {
                    let is_its_turn = amount == 1 || place == self.n_crashes % n;
                    let further = if amount == 1 { place } else { self.n_crashes / n };
                    let this = &mut self.world.nodes[node];
                    let at = this.n_persists + 1 + u64::try_from(further % 8).unwrap_or(0);
                    this.crash_at_persist = is_its_turn.then_some(at);
                }
                self.n_crashes += 1;
                self.crash_again(step);
            }
            Act::Start => {
                for node in chosen {
                    self.world.start_at(now, node);
                }
            }
            Act::Leave => chosen.into_iter().for_each(|node| self.world.leave(node)),
            Act::LoseDisk => chosen.into_iter().for_each(|node| self.world.lose_disk(node)),
            Act::Succeed => chosen.into_iter().for_each(|node| self.world.succeed(node)),
            Act::RestartPlan => self.world.restart_with(&chosen),
            Act::PlanIsRefuted => self.world.check_refuted(),
            Act::StandStill => {
                let stood_ms = now.0.saturating_sub(self.world.newest_at.0);
                let seconds = step.seconds.unwrap_or(0);
                if stood_ms < seconds * 1_000 {
                    let facts = format!(
                        "a block was stored {stood_ms} ms ago, nobody should have one for {seconds} s"
                    );
                    self.world.fail(Violation::of(Promise::Agreement, facts));
                }
            }
            Act::Skew => {
                for node in chosen {
                    self.world.nodes[node].skew_ms = amount;
                }
            }
            Act::LoseBlocks => {
                for node in chosen {
                    self.world.end(node, Ending::PowerCut);
                    self.world.lose_blocks(node, amount.unsigned_abs());
                    self.world.start_at(now.plus(1_000), node);
                }
            }
            Act::RotBlock => {
                for node in chosen {
                    let disk = &mut self.world.nodes[node].disk;
                    disk.rotten
                        .insert(disk.head.height.0.saturating_sub(amount.unsigned_abs()));
                }
            }
            Act::Wipe => {
                for node in chosen {
                    self.world.end(node, Ending::PowerCut);
                    let voted_to = self.world.height().next();
                    self.world.wipe(node, voted_to);
                    self.world.start_at(now.plus(1_000), node);
                }
            }
            Act::RotSlot => {
                for node in chosen {
                    let vault = &mut self.world.nodes[node].disk.vault;
                    if let Some(key) = vault.pieces.keys().next().copied() {
                        vault.rotten_pieces.insert(key);
                    }
                }
            }
            Act::RotReplica => {
                for node in chosen {
                    self.world.nodes[node].disk.vault.rot_replica();
                }
            }
            Act::RotJournal => {
                let bit = usize::try_from(amount).unwrap_or(0);
                for node in chosen {
                    self.world.end(node, Ending::Stop);
                    self.world.nodes[node].disk.drive.rot_journal(bit);
                    self.world.start_at(now.plus(1_000), node);
                    let wipe = Step {
                        act: Act::Wipe,
                        ..step
                    };
                    self.later_to(step.seconds.unwrap_or(1), wipe, vec![node]);
                }
            }
            Act::FullDisk => {
                for node in chosen {
                    let disk = &mut self.world.nodes[node].disk;
                    disk.drive.set_capacity(Some(0));
                    disk.vault.capacity_bytes = Some(0);
                }
            }
            Act::FreeDisk => {
                for node in chosen {
                    self.free_disk(node);
                }
            }
            Act::Spam => self.people.spam_per_s = u64::try_from(amount).unwrap_or(0),
            Act::ForgeProofs => self.people.forged_per_s = u64::try_from(amount).unwrap_or(0),
            Act::GrindKeys => self.people.ground_per_s = u64::try_from(amount).unwrap_or(0),
            Act::Amnesia => {
                for node in chosen {
                    self.world.end(node, Ending::PowerCut);
                    self.world.forget_journal(node);
                    self.world.start_at(now.plus(1_000), node);
                }
            }
            Act::Clone => {
                let (validators, machines) = (
                    self.members(Group::HonestValidators),
                    self.members(Group::Followers),
                );
                if let (Some(of), Some(to)) = (validators.first(), machines.first()) {
                    self.world.clone_folder(*of, *to);
                }
            }
            Act::Poison => self
                .people
                .poison(&mut self.world, if amount == 0 { b"boom" } else { b"slow" }),
            Act::ForgePast => self.forge_past(),
            Act::Contradict => self.contradict(&chosen),
            Act::Program => {
                for node in chosen {
                    self.world.nodes[node].protocol = u32::try_from(amount).unwrap_or(u32::MAX);
                    self.world.end(node, Ending::Stop);
                    self.world.start_at(now.plus(1_000), node);
                }
            }
            Act::Rescue => {
                self.world.rescue(u32::try_from(amount).unwrap_or(u32::MAX));
                for node in chosen {
                    self.world.end(node, Ending::Stop);
                    let this = &mut self.world.nodes[node];
                    (this.holds_rescue, this.down) = (true, Down::Stopped);
                    self.world.start_at(now.plus(1_000), node);
                }
            }
            Act::Decide => self
                .people
                .decide(&mut self.world, u32::try_from(amount).unwrap_or(u32::MAX)),
            Act::Eclipse => {
                let machines = self.members(Group::Followers);
                if let Some((victim, attackers)) = machines.split_last() {
                    self.world.surround(*victim, attackers);
                }
            }
        }
    }

    pub(super) fn free_disk(&mut self, node: usize) {
        let this = &mut self.world.nodes[node];
        this.disk.drive.set_capacity(None);
        this.disk.vault.capacity_bytes = None;
        if matches!(this.down, Down::Halted(_)) {
            // The owner made room, and starts it again.
            this.down = Down::Stopped;
            let at = self.world.now;
            self.world.start_at(at, node);
        }
    }

    /// Plans a step for one node.
    fn later_for(&mut self, seconds: u64, step: Step, node: usize) {
        let at = self.world.now.plus(seconds * 1_000);
        let down_ms = step.seconds.unwrap_or(1) * 1_000;
        self.world.end_at(at, node);
        self.world.start_at(at.plus(down_ms), node);
    }

    /// After a crash at a persist point, the next one is one append further on.
    fn crash_again(&mut self, step: Step) {
        let seconds = step.seconds.unwrap_or(1);
        for node in self.members(Group::All) {
            let at = self.world.now.plus(seconds * 1_000);
            self.world.start_at(at, node);
        }
        self.later(seconds, step);
    }

    fn end_all(&mut self, chosen: &[usize], ending: Ending, seconds: Option<u64>) {
        for node in chosen {
            self.world.end(*node, ending);
            if let Some(seconds) = seconds {
                let at = self.world.now.plus(seconds * 1_000);
                self.world.start_at(at, *node);
            }
        }
    }
}
