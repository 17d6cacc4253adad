//! Helpers for the serde form of the model (see [`super::model`]).

use super::model::DEFAULT_PRIORITY;

/// The names of the always-passed kinds with their bits.
pub const PASS_KINDS: [(&str, u32); 6] = {
    use sg_common::tables::pass;
    [
        ("arp", pass::ARP),
        ("nd", pass::ND),
        ("mld", pass::MLD),
        ("igmp", pass::IGMP),
        ("dhcp", pass::DHCP),
        ("stp", pass::STP),
    ]
};

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
pub(crate) fn is_default_priority(priority: &u16) -> bool {
    *priority == DEFAULT_PRIORITY
}

/// Timeouts: a map from the names of the policy file to seconds.
pub(crate) mod timeouts {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::super::model::Timeouts;

    #[derive(Serialize, Deserialize)]
    #[serde(remote = "Timeouts", rename_all = "kebab-case", deny_unknown_fields)]
    struct Form {
        tcp_opening: u32,
        tcp_established: u32,
        tcp_closing: u32,
        udp_one_way: u32,
        udp_answered: u32,
        icmp: u32,
        sctp_established: u32,
        other: u32,
    }

    pub(crate) fn serialize<S: Serializer>(
        timeouts: &Timeouts,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Form::serialize(timeouts, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timeouts, D::Error> {
        Form::deserialize(deserializer)
    }
}

/// Always-passed kinds: the list of the names that are switched on.
pub(crate) mod pass_kinds {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::PASS_KINDS;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
    pub(crate) fn serialize<S: Serializer>(bits: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(PASS_KINDS.iter().filter(|(_, b)| bits & b != 0).map(|(n, _)| n))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let mut bits = 0;
        for name in Vec::<String>::deserialize(deserializer)? {
            match PASS_KINDS.iter().find(|(known, _)| *known == name) {
                Some((_, bit)) => bits |= bit,
                None => return Err(D::Error::custom(format!("unknown always-passed kind {name}"))),
            }
        }
        Ok(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::*;

    #[test]
    fn stored_forms_are_stable() {
        assert_eq!(serde_json::to_string(&Rule::default()).unwrap(), "{}");
        let rule = Rule {
            action: Action::Deny,
            priority: 10,
            protocol: Protocol::TCP,
            ports: vec!["80".parse().unwrap(), "90-91".parse().unwrap()],
            cidrs: vec!["10.0.0.0/8".parse().unwrap()],
            prefix_lists: vec!["pl".parse().unwrap()],
            groups: vec!["g".parse().unwrap()],
            description: "d".into(),
            ..Rule::default()
        };
        let text = r#"{"action":"deny","priority":10,"protocol":"tcp","port":["80","90-91"],"cidr":["10.0.0.0/8"],"prefix-list":["pl"],"group":["g"],"description":"d"}"#;
        assert_eq!(serde_json::to_string(&rule).unwrap(), text);
        assert_eq!(serde_json::from_str::<Rule>(text).unwrap(), rule);

        let options = Options { pass: 5, ..Options::default() };
        let text = r#"{"conntrack-max":1000000,"timeouts":{"tcp-opening":60,"tcp-established":432000,"tcp-closing":120,"udp-one-way":30,"udp-answered":180,"icmp":30,"sctp-established":432000,"other":600},"always-pass":["arp","mld"],"ethertypes":[35020,34958,35063,34825]}"#;
        assert_eq!(serde_json::to_string(&options).unwrap(), text);
        assert_eq!(serde_json::from_str::<Options>(text).unwrap(), options);

        let interface = Interface {
            groups: vec!["web".parse().unwrap()],
            side: Side::Guest,
            hook: Hook::XdpGeneric,
            addresses: vec!["::1".parse().unwrap()],
            ..Interface::default()
        };
        let text = r#"{"groups":["web"],"side":"guest","hook":"xdp-generic","addresses":["::1"]}"#;
        assert_eq!(serde_json::to_string(&interface).unwrap(), text);
        assert_eq!(serde_json::from_str::<Interface>(text).unwrap(), interface);

        let list = PrefixList {
            description: String::new(),
            entries: vec!["10.0.0.0/8".parse().unwrap()].into(),
        };
        let text = r#"{"entries":["10.0.0.0/8"]}"#;
        assert_eq!(serde_json::to_string(&list).unwrap(), text);
        assert_eq!(serde_json::from_str::<PrefixList>(text).unwrap(), list);
    }

    #[test]
    fn what_a_newer_version_wrote_is_refused() {
        assert!(serde_json::from_str::<Rule>(r#"{"log":true}"#).is_err());
        assert!(serde_json::from_str::<Rule>(r#"{"port":["90-80"]}"#).is_err());
        assert!(serde_json::from_str::<Interface>(r#"{"groups":["A"]}"#).is_err());
        assert!(serde_json::from_str::<Options>(r#"{"always-pass":["tcp"]}"#).is_err());
    }
}
