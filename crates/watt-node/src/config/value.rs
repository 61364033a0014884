//! Values as people write them: sizes, lengths of time, log formats.

use std::str::FromStr;
use watt_engine::provider::Settle;
use watt_primitives::terms::Device;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{text}` is no log format; use text or json")),
        }
    }
}

impl std::fmt::Display for LogFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// How a provider settles its windows, as people write it.
#[must_use]
pub(crate) const fn settle_name(settle: Settle) -> &'static str {
    match settle {
        Settle::Windows => "windows",
        Settle::Folded => "folded",
    }
}

/// How a provider settles that does not say it. What sleeps now and then folds: between a heartbeat and its openings it would fail.
#[must_use]
pub(crate) const fn settle_of(device: Device) -> Settle {
    match device {
        Device::AlwaysOn => Settle::Windows,
        Device::Daily | Device::Phone => Settle::Folded,
    }
}

/// Parses how a provider settles its windows.
///
/// # Errors
/// One line that says what there is.
pub(crate) fn parse_settle(text: &str) -> Result<Settle, String> {
    match text {
        "windows" => Ok(Settle::Windows),
        "folded" => Ok(Settle::Folded),
        _ => Err(format!(
            "`{text}` is no way to settle windows; use windows (each by itself) or folded (one proof for many)"
        )),
    }
}

/// Parses what a provider runs on.
///
/// # Errors
/// One line that says what there is.
pub(crate) fn parse_device(text: &str) -> Result<Device, String> {
    let named = Device::ALL.into_iter().find(|device| device.name() == text);
    named.ok_or_else(|| {
        format!(
            "`{text}` is no device; use always-on (away for less than a day), daily (a laptop or home computer) or phone"
        )
    })
}

/// Parses a size: `4096`, `10 MB` (10^6), `64MiB` (2^20).
///
/// # Errors
/// One line that says what a size looks like.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let scale = |unit: &str| {
        let scale: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" | "k" => 1_000,
            "mb" | "m" => 1_000_000,
            "gb" | "g" => 1_000_000_000,
            "tb" | "t" => 1_000_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "tib" => 1 << 40,
            _ => return None,
        };
        Some(scale)
    };
    scaled(text, scale).ok_or_else(|| format!("`{text}` is no size; write for example 64MiB, 10GB or 4096"))
}

/// Parses a length of time into milliseconds: `500ms`, `30s`, `10min`, `12h`, `30d`, `1y`.
///
/// # Errors
/// One line that says what a length of time looks like.
pub fn parse_duration_ms(text: &str) -> Result<u64, String> {
    let scale = |unit: &str| {
        let scale: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 7 * 86_400_000,
            "y" => 365 * 86_400_000,
            _ => return None,
        };
        Some(scale)
    };
    scaled(text, scale)
        .ok_or_else(|| format!("`{text}` is no length of time; write for example 30s, 10min, 12h or 30d"))
}

fn scaled(text: &str, scale: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    number.parse::<u64>().ok()?.checked_mul(scale(unit.trim())?)
}
