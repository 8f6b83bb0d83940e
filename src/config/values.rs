//! Values as users write them: one way to read each, on the command line and in the file.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::Code;

/// Where the page is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    None,
    /// At an address and port.
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Listen, String> {
        match text {
            "none" => Ok(Listen::None),
            _ => text
                .parse()
                .map(Listen::At)
                .map_err(|_| format!("`{text}` is no address: give one with a port, 127.0.0.1:9853, or `none`")),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::None => f.write_str("none"),
            Listen::At(address) => address.fmt(f),
        }
    }
}

/// How matches are printed.
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Output {
    /// `pretty` on a terminal, `json` otherwise
    #[default]
    Auto,
    /// For people, in colour
    Pretty,
    /// One object a line
    Json,
    /// Not at all
    None,
}

/// A length of time, written with its unit: `500ms`, `10s`, `2m`, `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Duration);

/// The units of a [`Time`], in milliseconds, the largest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Time, String> {
        let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
        let factor = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let milliseconds =
            number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
        match milliseconds {
            Some(milliseconds) => Ok(Time(Duration::from_millis(milliseconds))),
            None => {
                Err(format!("`{text}` is no length of time: give a whole number and its unit, 500ms, 10s, 2m or 1h"))
            }
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis() as u64;
        if milliseconds == 0 {
            return f.write_str("0s");
        }
        let (unit, factor) =
            UNITS.into_iter().find(|(_, factor)| milliseconds.is_multiple_of(*factor)).unwrap_or(("ms", 1));
        write!(f, "{}{unit}", milliseconds / factor)
    }
}

/// A number of bytes, written with its unit: `64KiB`, `1MiB`; without one, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub usize);

/// The units of a [`Size`], in bytes, the largest first.
const SIZES: [(&str, usize); 4] = [("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1), ("", 1)];

/// What an overlong line may be: less is not more than what is looked at around a number in one, and more is memory
/// that each source takes twice over while it holds such a line.
const LINE_LIMITS: RangeInclusive<usize> = 16 << 10..=16 << 20;

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
        let factor = SIZES.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let bytes = number.parse::<usize>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
        bytes.map(Size).ok_or_else(|| format!("`{text}` is no size: give a whole number and its unit, 64KiB or 1MiB"))
    }
}

impl Size {
    /// How long a line may be.
    ///
    /// # Errors
    /// What is no size, or out of bounds.
    pub fn of_line(text: &str) -> Result<Size, String> {
        let size: Size = text.parse()?;
        let is_right = LINE_LIMITS.contains(&size.0);
        let (least, most) = (Size(*LINE_LIMITS.start()), Size(*LINE_LIMITS.end()));
        is_right.then_some(size).ok_or_else(|| format!("`{text}` is out of bounds: a line limit is {least} to {most}"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_whole = |(_, factor): &(&str, usize)| self.0.is_multiple_of(*factor);
        let (unit, factor) = SIZES.into_iter().find(is_whole).unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / factor)
    }
}

/// A code of five digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(pub Code);

impl FromStr for Number {
    type Err = String;

    fn from_str(text: &str) -> Result<Number, String> {
        let code = text.parse().ok().and_then(Code::new);
        code.map(Number).ok_or_else(|| format!("`{text}` is no error code: they have five digits, 10000 to 99999"))
    }
}

/// Reads a value that TOML knows from itself, or from the string that a variable was put into.
pub(super) fn read<'de, D: Deserializer<'de>, T: Value>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(Read(PhantomData))
}

/// A value that is read from its text, wherever it stands.
pub(super) trait Value: Sized {
    /// What it is, as in "expected …".
    const WHAT: &'static str;

    /// Reads it; what is wrong otherwise.
    fn read(text: &str) -> Result<Self, String>;
}

impl Value for Listen {
    const WHAT: &'static str = "an address with a port, \"127.0.0.1:9853\", or \"none\"";

    fn read(text: &str) -> Result<Listen, String> {
        text.parse()
    }
}

impl Value for Time {
    const WHAT: &'static str = "a length of time with its unit, such as \"10s\"";

    fn read(text: &str) -> Result<Time, String> {
        text.parse()
    }
}

impl Value for Size {
    const WHAT: &'static str = "a size with its unit, such as \"1MiB\"";

    fn read(text: &str) -> Result<Size, String> {
        Size::of_line(text)
    }
}

impl Value for Number {
    const WHAT: &'static str = "an error code";

    fn read(text: &str) -> Result<Number, String> {
        text.parse()
    }
}

impl Value for bool {
    const WHAT: &'static str = "true or false";

    fn read(text: &str) -> Result<bool, String> {
        text.parse().map_err(|_| format!("`{text}` is neither true nor false"))
    }
}

impl Value for usize {
    const WHAT: &'static str = "a number";

    fn read(text: &str) -> Result<usize, String> {
        text.parse().map_err(|_| format!("`{text}` is no number that can be used here: give a whole one from 0 on"))
    }
}

/// Reads a value from text.
struct Read<T>(PhantomData<T>);

impl<T: Value> serde::de::Visitor<'_> for Read<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        T::read(text).map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        T::read(&number.to_string()).map_err(E::custom)
    }

    fn visit_bool<E: serde::de::Error>(self, is: bool) -> Result<T, E> {
        T::read(&is.to_string()).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Listen, D::Error> {
        read(deserializer)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        read(deserializer)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        read(deserializer)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Size, D::Error> {
        read(deserializer)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0.get())
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: Option<&str>) {
        assert_eq!(text.parse::<Time>().ok().map(|time| time.to_string()).as_deref(), shown, "{text}");
    }

    #[test]
    fn sizes_have_units_and_bounds() {
        let of_line = |text: &str| Size::of_line(text).map(|size| size.to_string());
        assert_eq!(of_line("1024KiB").as_deref(), Ok("1MiB"));
        assert_eq!(of_line("65537").as_deref(), Ok("65537B"));
        assert_eq!(of_line("16KiB").as_deref(), Ok("16KiB"));
        assert_eq!(of_line("16MiB").as_deref(), Ok("16MiB"));
        for bad in ["", "MiB", "-1MiB", "1.5MiB", "1 MiB", "1MB", "16383", "16777217B", "99999999999999999999MiB"] {
            assert!(of_line(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_have_units() {
        check("10s", Some("10s"));
        check("60s", Some("1m"));
        check("1500ms", Some("1500ms"));
        check("0s", Some("0s"));
        check("48h", Some("2d"));
        for bad in ["", "10", "s", "-1s", "1.5s", "10 s", "1w", "99999999999999999999s", "9999999999999999d"] {
            check(bad, None);
        }
    }
}
