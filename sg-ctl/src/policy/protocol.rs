//! Protocols and ports as text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::model::{PortRange, Protocol};
use super::text::{Malformed, number, quoted, serde_as_text};

/// Names that people try, and what this language has for them.
const OTHER_PROTOCOLS: &[(&str, &str)] = &[
    ("any", "all"),
    ("-1", "all"),
    ("*", "all"),
    ("ip", "all"),
    ("icmp6", "icmpv6"),
    ("icmp-v6", "icmpv6"),
    ("ipv6-icmp", "icmpv6"),
    ("icmpv4", "icmp"),
    ("igmp", "2"),
    ("ipip", "4"),
    ("dccp", "33"),
    ("ipv6", "41"),
    ("rsvp", "46"),
    ("gre", "47"),
    ("esp", "50"),
    ("ah", "51"),
    ("ospf", "89"),
    ("pim", "103"),
    ("vrrp", "112"),
    ("l2tp", "115"),
    ("udplite", "136"),
    ("udp-lite", "136"),
];

impl Protocol {
    /// TCP.
    pub const TCP: Self = Self::Number(6);
    /// UDP.
    pub const UDP: Self = Self::Number(17);
    /// SCTP.
    pub const SCTP: Self = Self::Number(132);
    /// ICMP, which exists in IPv4 only.
    pub const ICMP: Self = Self::Number(1);
    /// ICMPv6, which exists in IPv6 only.
    pub const ICMPV6: Self = Self::Number(58);

    /// Whether rules of this protocol can name ports: TCP, UDP and SCTP, and no other (UDP-Lite
    /// and DCCP count as protocols without ports).
    #[must_use]
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::Number(6 | 17 | 132))
    }

    /// Whether rules of this protocol can name an ICMP type.
    #[must_use]
    pub const fn is_icmp(self) -> bool {
        matches!(self, Self::Number(1 | 58))
    }

    /// A protocol by its number.
    ///
    /// # Errors
    /// 0, 43, 44 and 60 are IPv6 extension headers, which are looked through.
    pub fn from_number(number: u8) -> Result<Self, Malformed> {
        match number {
            0 | 43 | 44 | 60 => Err(Malformed::new(
                format!("{number} is an IPv6 extension header, not the protocol of a packet"),
                "name the protocol that follows the extension headers",
            )),
            _ => Ok(Self::Number(number)),
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.pad("all"),
            Self::Number(1) => f.pad("icmp"),
            Self::Number(6) => f.pad("tcp"),
            Self::Number(17) => f.pad("udp"),
            Self::Number(58) => f.pad("icmpv6"),
            Self::Number(132) => f.pad("sctp"),
            Self::Number(n) => f.pad(&n.to_string()),
        }
    }
}

impl FromStr for Protocol {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let known = |text: &str| match text {
            "all" => Some(Self::All),
            "icmp" => Some(Self::ICMP),
            "tcp" => Some(Self::TCP),
            "udp" => Some(Self::UDP),
            "icmpv6" => Some(Self::ICMPV6),
            "sctp" => Some(Self::SCTP),
            _ => None,
        };
        if let Some(protocol) = known(text) {
            return Ok(protocol);
        }
        let message = format!("{} is not a protocol", quoted(text));
        let lower = text.trim().to_ascii_lowercase();
        if known(&lower).is_some() {
            return Err(Malformed::new(message, format!("write \"{lower}\"")));
        }
        if let Some((_, ours)) = OTHER_PROTOCOLS.iter().find(|(other, _)| *other == lower) {
            return Err(Malformed::new(message, format!("write \"{ours}\"")));
        }
        if text.bytes().any(|b| b.is_ascii_digit())
            && !text.bytes().any(|b| b.is_ascii_alphabetic())
        {
            let number = number(text, "protocol", 0, 255)?;
            return Self::from_number(u8::try_from(number).unwrap_or(u8::MAX));
        }
        Err(Malformed::new(
            message,
            "write \"tcp\", \"udp\", \"sctp\", \"icmp\", \"icmpv6\", \"all\" or a number from 0 to 255",
        ))
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl PortRange {
    /// Every port.
    pub const ALL: Self = Self { first: 0, last: u16::MAX };

    /// One port.
    #[must_use]
    pub const fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }
}

impl FromStr for PortRange {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let port = |text: &str| {
            number(text, "port", 0, 65535).map(|n| u16::try_from(n).unwrap_or(u16::MAX)).map_err(
                |error| {
                    let bounds = error.help.contains("from");
                    let help = "a port is a number from 0 to 65535; a range is written \"80-90\"";
                    if bounds { Malformed::new(error.message, help) } else { error }
                },
            )
        };
        // A leading `-` is a sign, not the middle of a range.
        let Some((first, last)) = text.split_once('-').filter(|(first, _)| !first.is_empty())
        else {
            return port(text).map(Self::one);
        };
        let blank = |part: &str| part != part.trim() && !part.trim().is_empty();
        if blank(first) || blank(last) {
            return Err(Malformed::new(
                format!("{} has blanks", quoted(text)),
                format!("write \"{}-{}\"", first.trim(), last.trim()),
            ));
        }
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(Malformed::new(
                format!("the range {} is empty", quoted(text)),
                format!("write the lower port first: \"{last}-{first}\""),
            ));
        }
        Ok(Self { first, last })
    }
}

serde_as_text!(Protocol, PortRange);

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T: FromStr<Err = Malformed> + fmt::Debug>(text: &str) -> String {
        text.parse::<T>().expect_err(text).to_string()
    }

    #[test]
    fn protocols_have_one_spelling() {
        for number in 0..=255u8 {
            let parsed = number.to_string().parse::<Protocol>();
            if matches!(number, 0 | 43 | 44 | 60) {
                assert!(parsed.unwrap_err().message.contains("extension header"));
                continue;
            }
            let parsed = parsed.unwrap();
            assert_eq!(parsed, Protocol::Number(number));
            assert_eq!(parsed.to_string().parse::<Protocol>().unwrap(), parsed);
        }
        for (word, number) in [("tcp", 6), ("udp", 17), ("sctp", 132), ("icmp", 1), ("icmpv6", 58)]
        {
            assert_eq!(word.parse::<Protocol>().unwrap(), Protocol::Number(number));
            assert_eq!(Protocol::Number(number).to_string(), word);
        }
        assert_eq!("all".parse::<Protocol>().unwrap(), Protocol::All);
        assert!(refused::<Protocol>("TCP").ends_with("write \"tcp\""));
        assert!(refused::<Protocol>("gre").ends_with("write \"47\""));
        assert!(refused::<Protocol>("-1").ends_with("write \"all\""));
        assert!(refused::<Protocol>("06").ends_with("write 6"));
        for bad in ["256", "+6", " 6", "6 ", "6.0", "", "tcp6", "0x06", "1e1", "999999999999"] {
            assert!(bad.parse::<Protocol>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ports_are_strict_numerals() {
        for (text, first, last) in
            [("0", 0, 0), ("80", 80, 80), ("80-80", 80, 80), ("0-65535", 0, 65535)]
        {
            assert_eq!(text.parse::<PortRange>().unwrap(), PortRange { first, last });
        }
        assert_eq!(PortRange { first: 80, last: 80 }.to_string(), "80");
        assert_eq!(PortRange { first: 80, last: 81 }.to_string(), "80-81");
        assert!(refused::<PortRange>("90-80").contains("write the lower port first: \"80-90\""));
        assert!(refused::<PortRange>("80 - 90").ends_with("write \"80-90\""));
        assert!(refused::<PortRange>("080").ends_with("write 80"));
        assert!(refused::<PortRange>("+80").ends_with("write 80, without sign and blanks"));
        for bad in
            ["", "-", "-80", "80-", "65536", "80-65536", "1-2-3", "http", "8 0", "٨", "80,81", "00"]
        {
            assert!(bad.parse::<PortRange>().is_err(), "{bad:?}");
        }
    }
}
