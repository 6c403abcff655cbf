//! The values that conditions compare besides text: numbers, dates and addresses.

use std::net::IpAddr;

use jiff::Timestamp;

/// A decimal number, exact to nine places (so a uid or a time never compares wrongly).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(i128);

impl Number {
    const PLACES: usize = 9;

    /// An optional sign, up to 20 digits, and up to nine decimal places.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        if whole.is_empty() || whole.len() > 20 || fraction.len() > Self::PLACES {
            return None;
        }
        let zeros = std::iter::repeat_n(b'0', Self::PLACES - fraction.len());
        let mut digits = whole.bytes().chain(fraction.bytes()).chain(zeros);
        let magnitude = digits.try_fold(0_i128, |number, digit| {
            digit
                .is_ascii_digit()
                .then(|| number * 10 + i128::from(digit - b'0'))
        })?;
        Some(Self(if negative { -magnitude } else { magnitude }))
    }
}

/// Parses a date as the [W3C profile of ISO 8601] writes it, or seconds since 1970. A date without
/// a time is its midnight in UTC; four digits are a year.
///
/// [W3C profile of ISO 8601]: https://www.w3.org/TR/NOTE-datetime
pub(super) fn parse_date(text: &str) -> Option<Timestamp> {
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"-+:.TZtz".contains(&byte))
    {
        return None;
    }
    let only_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if only_digits && text.len() != 4 {
        return Timestamp::from_second(text.parse().ok()?).ok();
    }
    let day = match text.len() {
        4 => format!("{text}-01-01"),
        7 => format!("{text}-01"),
        10 => text.to_owned(),
        _ => return text.parse().ok(),
    };
    format!("{day}T00:00:00Z").parse().ok()
}

/// A range of addresses in CIDR notation (RFC 4632, RFC 4291); an address alone is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cidr {
    network: IpAddr,
    prefix: u32,
}

impl Cidr {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (network, prefix) = match text.split_once('/') {
            Some((network, prefix)) => (network, Some(prefix)),
            None => (text, None),
        };
        let network: IpAddr = network.parse().ok()?;
        let width = if network.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok()?
            }
            Some(_) => return None,
        };
        (prefix <= width).then_some(Self { network, prefix })
    }

    /// An IPv4 address that arrives mapped into IPv6 (a dual-stack socket) is taken as IPv4.
    pub(super) fn contains(self, address: IpAddr) -> bool {
        match (self.network, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_value_and_exactly() {
        let number = |text| Number::parse(text).unwrap();
        assert_eq!(number("1000"), number("+1000.000"));
        assert!(number("-1") < number("0.5"));
        assert!(
            number("9007199254740993") > number("9007199254740992"),
            "beyond f64"
        );
        for bad in [
            "",
            "-",
            ".5",
            "1.",
            "1e3",
            "0x10",
            "1 ",
            "inf",
            "1.0000000001",
            "１",
        ] {
            assert_eq!(Number::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_are_read_in_every_documented_form() {
        let date = |text| parse_date(text).unwrap().as_second();
        assert_eq!(date("1970"), 0);
        assert_eq!(date("1970-01"), 0);
        assert_eq!(date("1970-01-02"), 86_400);
        assert_eq!(date("1970-01-01T00:01Z"), 60);
        assert_eq!(date("1970-01-01T00:00:01.5Z"), 1);
        assert_eq!(date("1970-01-01T02:00:00+02:00"), 0);
        assert_eq!(date("1356999999"), 1_356_999_999);
        for bad in [
            "",
            "today",
            "2020-13-01",
            "2020-01-01T00:00:00",
            "2020-01-01T00:00Z[UTC]",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn ranges_contain_what_shares_their_prefix() {
        let inside = |range, address: &str| {
            Cidr::parse(range)
                .unwrap()
                .contains(address.parse().unwrap())
        };
        assert!(inside("203.0.113.0/24", "203.0.113.255"));
        assert!(!inside("203.0.113.0/24", "203.0.114.0"));
        assert!(
            inside("203.0.113.7/24", "203.0.113.1"),
            "host bits are ignored"
        );
        assert!(inside("0.0.0.0/0", "255.1.2.3"));
        assert!(inside("10.0.0.1", "10.0.0.1") && !inside("10.0.0.1", "10.0.0.2"));
        assert!(
            inside("2001:db8::/32", "2001:db8:1::1") && !inside("2001:db8::/32", "2001:db9::1")
        );
        assert!(inside("::/0", "2001:db8::1") && !inside("::/0", "10.0.0.1"));
        assert!(inside("10.0.0.0/8", "::ffff:10.1.2.3"));
        for bad in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::/129",
            "*",
        ] {
            assert_eq!(Cidr::parse(bad), None, "{bad}");
        }
    }
}
