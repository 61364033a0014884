//! When devices are up (storage.md 2.5): phones that charge at night, laptops at work hours, home boxes, servers.

use crate::luck::Luck;
use crate::world::World;

/// Seconds in a day.
const DAY_S: u64 = 86_400;

/// What sort of device a provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// Always up.
    Server,
    /// Up 97 % of the time; away for half an hour now and then.
    Home,
    /// Up in work hours, most days.
    Laptop,
    /// Serves while it charges: most nights, and a short while on some days; away for days now and then; leaves for good after
    /// a year or so.
    Phone,
}

/// All devices and their habits.
pub struct Devices {
    devices: Vec<(usize, Device)>,
    luck: Luck,
    /// Second of the day at the beginning of the run.
    begins_s: u64,
    planned_days: u64,
}

impl Devices {
    /// Nodes with their devices, in a run that begins at hour `begins_hour` of a day.
    #[must_use]
    pub const fn new(devices: Vec<(usize, Device)>, begins_hour: u64, luck: Luck) -> Self {
        Self {
            devices,
            luck,
            begins_s: begins_hour * 3_600,
            planned_days: 0,
        }
    }

    /// Plans the sessions of all days up to the one after `second`.
    pub fn plan(&mut self, world: &mut World, second: u64) {
        while self.planned_days * DAY_S < self.begins_s + second + DAY_S {
            let day = self.planned_days;
            self.planned_days += 1;
            for at in 0..self.devices.len() {
                let (node, device) = self.devices[at];
                self.plan_day(world, node, device, day, second);
            }
        }
    }

    fn plan_day(&mut self, world: &mut World, node: usize, device: Device, day: u64, now_s: u64) {
        let luck = &mut self.luck;
        let minute = 60;
        // Sessions as seconds of the day; a night belongs to the day on which it begins.
        let sessions: Vec<(u64, u64)> = match device {
            Device::Server => return,
            Device::Home => {
                let away = luck.below(DAY_S);
                vec![(0, away), (away + luck.range(20, 70) * minute, DAY_S)]
            }
            Device::Laptop if luck.permille(850) => {
                let from = luck.range(8 * 60, 10 * 60) * minute;
                vec![(from, from + luck.range(7 * 60, 9 * 60) * minute)]
            }
            Device::Laptop => Vec::new(),
            Device::Phone => {
                // Leaves for good with odds of one in 525 a day: half of all within a year.
                if day > 0 && luck.below(525) == 0 {
                    world.leave(node);
                }
                let mut sessions = Vec::new();
                if luck.permille(800) {
                    let from = luck.range(22 * 60, 24 * 60) * minute;
                    sessions.push((from, from + luck.range(6 * 60 + 30, 8 * 60 + 30) * minute));
                }
                if luck.permille(300) {
                    let from = luck.range(9 * 60, 20 * 60) * minute;
                    sessions.push((from, from + luck.range(15, 60) * minute));
                }
                // The night that began yesterday.
                if day == 0 {
                    sessions.push((0, luck.range(5 * 60, 8 * 60) * minute));
                }
                sessions
            }
        };
        let beginning = world.now.0 - now_s * 1_000;
        let at = |second: u64| {
            let since = (day * DAY_S + second).saturating_sub(self.begins_s);
            watt_primitives::Timestamp(beginning + since * 1_000)
        };
        if day == 0 {
            let is_up = sessions
                .iter()
                .any(|(from, to)| (*from..*to).contains(&self.begins_s));
            if !is_up {
                world.end_at(at(self.begins_s), node);
            }
        }
        for (from, to) in sessions {
            if to > from && day * DAY_S + to > self.begins_s {
                if from > 0 {
                    world.start_at(at(from), node);
                }
                if to < DAY_S || device == Device::Phone {
                    world.end_at(at(to), node);
                }
            }
        }
    }
}
