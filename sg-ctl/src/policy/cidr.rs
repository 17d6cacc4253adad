//! CIDRs and addresses as text.

use std::net::IpAddr;

use ipnet::IpNet;

use super::text::{Malformed, number, quoted};

/// Reads one prefix. A bare address stands for itself alone (`/32` or `/128`).
///
/// # Errors
/// No address, a prefix length that the family does not have, or host bits that are set; the help
/// of the last shows the prefix without them.
pub fn parse(text: &str) -> Result<IpNet, Malformed> {
    let Some((address, length)) = text.split_once('/') else {
        return address(text).map(IpNet::from);
    };
    let ip = self::address(address)
        .map_err(|e| Malformed::new(format!("{} is not a CIDR", quoted(text)), e.help))?;
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    if ip.is_ipv4()
        && let Ok(mask) = length.parse::<std::net::Ipv4Addr>()
    {
        let help = match ipnet::ip_mask_to_prefix(IpAddr::V4(mask)) {
            Ok(length) => format!("write {ip}/{length}"),
            Err(_) => "write the prefix length, 0 to 32, behind the slash".into(),
        };
        return Err(Malformed::new(format!("{} has a netmask", quoted(text)), help));
    }
    let length = number(length, "prefix length", 0, longest)
        .map_err(|e| Malformed::new(format!("{}: {}", quoted(text), e.message), e.help))?;
    let net = u8::try_from(length).ok().and_then(|length| IpNet::new(ip, length).ok());
    let Some(net) = net else {
        return Err(Malformed::new(
            format!("{} is not a CIDR", quoted(text)),
            format!("the prefix length is 0 to {longest}"),
        ));
    };
    if net.addr() != net.network() {
        return Err(Malformed::new(
            format!("{} has bits set behind the prefix", quoted(text)),
            format!("write \"{}\" for the network or \"{ip}\" for the one address", net.trunc()),
        ));
    }
    Ok(net)
}

/// Reads one address.
///
/// # Errors
/// It is none; the help says what is usual where a usual slip is seen.
pub fn address(text: &str) -> Result<IpAddr, Malformed> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip);
    }
    let message = format!("{} is not an IP address", quoted(text));
    let help = if text.parse::<IpAddr>().is_err() && text.trim().parse::<IpAddr>().is_ok() {
        format!("write {} without blanks", text.trim())
    } else if let Some((ip, _)) = text.split_once('%')
        && ip.parse::<IpAddr>().is_ok()
    {
        format!("write {ip} without the zone")
    } else if let Some(ip) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'))
        && ip.parse::<IpAddr>().is_ok()
    {
        format!("write {ip} without brackets")
    } else if octets_with_leading_zeros(text) {
        "write each part without leading zeros: they would be octal elsewhere".into()
    } else {
        "write an IPv4 or IPv6 address, such as 203.0.113.7 or 2001:db8::7; host names are not \
         looked up"
            .into()
    };
    Err(Malformed::new(message, help))
}

fn octets_with_leading_zeros(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 4
        && parts.iter().all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
        && parts.iter().any(|p| p.len() > 1 && p.starts_with('0'))
}

/// A peer on the command line: a prefix, or `any` for every address of both families.
///
/// `None` stands for `any`.
///
/// # Errors
/// As [`parse`].
pub fn parse_or_any(text: &str) -> Result<Option<IpNet>, Malformed> {
    if text == "any" { Ok(None) } else { parse(text).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_address_is_itself_alone() {
        for (text, shown) in [
            ("0.0.0.0", "0.0.0.0/32"),
            ("203.0.113.7", "203.0.113.7/32"),
            ("::", "::/128"),
            ("2001:DB8:0:0::/32", "2001:db8::/32"),
            ("2001:db8:0:0:0:0:0:0/32", "2001:db8::/32"),
            ("2001:aaaa:bbbb::cccc:dddd:fe2b:7e9f/128", "2001:aaaa:bbbb:0:cccc:dddd:fe2b:7e9f/128"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn slips_are_refused_with_the_mend() {
        for (text, mend) in [
            ("67.221.169.243/0", "\"0.0.0.0/0\""),
            ("10.1.2.3/8", "\"10.0.0.0/8\""),
            ("2001:db8::1/64", "\"2001:db8::/64\""),
            ("10.0.0.0/33", "0 to 32"),
            ("::/129", "0 to 128"),
            ("10.0.0.0/08", "write 8"),
            ("10.0.0.0/+8", "write 8"),
            ("10.0.0.0/ 8", "write 8"),
            ("10.0.0.0/", "0 to 32"),
            ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
            ("10.0.0.0/255.0.255.0", "prefix length"),
            ("010.0.0.1", "leading zeros"),
            (" 10.0.0.1", "without blanks"),
            ("fe80::1%eth0", "without the zone"),
            ("[::1]", "without brackets"),
            ("10.0.0", "203.0.113.7"),
            ("example.org", "not looked up"),
            ("", "203.0.113.7"),
            ("10.0.0.0/8/8", "0 to 32"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.help.contains(mend), "{text}: {error}");
        }
    }

    #[test]
    fn any_is_a_word_of_the_command_line_only() {
        assert_eq!(parse_or_any("any").unwrap(), None);
        assert!(parse("any").is_err());
        assert!(parse_or_any("Any").is_err());
    }
}
