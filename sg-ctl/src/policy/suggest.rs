//! The nearest known word to one that is not known.

/// The known word that was most likely meant, if one is near.
pub fn nearest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    // Comparing costs the product of the lengths; names are at most 63 bytes long.
    const LONGEST: usize = 80;
    if word.len() > LONGEST {
        return None;
    }
    let lower = word.to_lowercase().replace('_', "-");
    let mut best: Option<(usize, &str)> = None;
    let mut abbreviated = None;
    let mut abbreviations = 0;
    for candidate in known {
        let distance = strsim::damerau_levenshtein(&lower, candidate);
        if distance == 0 {
            return Some(candidate);
        }
        if lower.len() >= 3 && candidate.starts_with(&lower) {
            abbreviations += 1;
            abbreviated = Some(candidate);
        }
        let near = distance <= lower.chars().count().max(3) / 3;
        if near && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    // An abbreviation of exactly one word means that word; of several it could mean any.
    match abbreviations {
        1 => abbreviated,
        _ => best.map(|(_, candidate)| candidate),
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_find_their_word() {
        let known = ["action", "protocol", "port", "cidr", "icmp-type", "icmp-code", "prefix-list"];
        for (slip, meant) in [
            ("prot", Some("protocol")),
            ("ports", Some("port")),
            ("Protocol", Some("protocol")),
            ("icmp_type", Some("icmp-type")),
            ("cdir", Some("cidr")),
            ("prefix-lists", Some("prefix-list")),
            ("icmp", None),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(slip, known.into_iter()), meant, "{slip}");
        }
        assert_eq!(nearest(&"x".repeat(10_000), known.into_iter()), None);
    }
}
